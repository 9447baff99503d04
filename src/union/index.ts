export { overlayUnion } from './overlayUnion.ts'
