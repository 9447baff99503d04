/*
 * What the default profile says of each system call that Linux has on x86-64, x86-32 and arm64 (the
 * kernel's tables, uapi/asm/unistd*.h): every name is in exactly one of the three lists, which a test
 * compares with the headers of the machine. The policy is docker's, as docs.docker.com describes it
 * ("Significant syscalls blocked by the default profile").
 */

/** Calls that any program may make. */
export const ALLOWED: readonly string[] = words(`
  ${/* files by descriptor */ ''}
  read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek llseek close close_range dup dup2 dup3
  fcntl fcntl64 flock fsync fdatasync sync syncfs sync_file_range sync_file_range2 arm_sync_file_range ftruncate ftruncate64 fallocate fadvise64 fadvise64_64
  arm_fadvise64_64 readahead copy_file_range sendfile sendfile64 splice tee vmsplice ioctl pipe pipe2 eventfd eventfd2 memfd_create
  memfd_secret signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
  getdents getdents64 readdir fstat fstat64 fstatfs fstatfs64 fchmod fchown fchown32 fchdir

  ${/* files by name */ ''}
  open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 newfstatat fstatat64 statx statfs statfs64 oldstat oldlstat oldfstat
  chmod fchmodat fchmodat2 chown chown32 lchown lchown32 fchownat truncate truncate64 utime utimes utimensat utimensat_time64 futimesat
  mkdir mkdirat rmdir mknod mknodat link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename renameat renameat2
  chdir getcwd umask name_to_handle_at
  getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
  getxattrat setxattrat listxattrat removexattrat file_getattr file_setattr
  inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark statmount listmount

  ${/* waiting */ ''}
  select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait
  epoll_wait_old epoll_pwait epoll_pwait2 io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64

  ${/* memory */ ''}
  mmap mmap2 munmap mremap mprotect brk madvise process_madvise process_mrelease mincore msync mlock mlock2 mlockall munlock munlockall
  remap_file_pages pkey_alloc pkey_free pkey_mprotect membarrier cachestat map_shadow_stack mseal
  shmget shmat shmctl shmdt semget semop semctl semtimedop semtimedop_time64 msgget msgsnd msgrcv msgctl ipc
  mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64

  ${/* processes and threads */ ''}
  fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid getsid setsid
  kill tkill tgkill pidfd_open pidfd_send_signal set_tid_address set_robust_list get_robust_list futex futex_time64 futex_waitv
  futex_wake futex_wait futex_requeue rseq restart_syscall sched_yield nice getpriority setpriority ioprio_get ioprio_set
  sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam sched_getscheduler sched_setscheduler
  sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64 getcpu
  prctl arch_prctl get_thread_area set_thread_area modify_ldt seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
  getrlimit setrlimit ugetrlimit prlimit64 getrusage times pause alarm getitimer setitimer

  ${/* signals */ ''}
  rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
  rt_tgsigqueueinfo sigaction signal sigaltstack sigpending sigprocmask sigreturn sigsuspend sgetmask ssetmask

  ${/* who a process is */ ''}
  getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid getresgid32 getgroups getgroups32
  setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32
  setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget capset lsm_get_self_attr lsm_list_modules

  ${/* time */ ''}
  time gettimeofday clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 nanosleep
  timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
  ${/* Reading only: changing a clock is refused by the kernel without CAP_SYS_TIME. */ ''}
  adjtimex

  ${/* sockets; socket itself has a condition */ ''}
  socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt send recv
  sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg recvmmsg_time64

  ${/* the machine */ ''}
  uname olduname oldolduname sysinfo getrandom
  ${/* arm's and x86-32's own */ ''}
  breakpoint cacheflush set_tls get_tls usr26 usr32 uretprobe`)

/** Calls that come with a capability, which the kernel asks for again: the filter only keeps others from the code. */
export const BY_CAPABILITY: Readonly<Record<string, readonly string[]>> = {
  CAP_SYS_ADMIN: words(`
    mount umount umount2 mount_setattr move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick setns unshare clone3
    sethostname setdomainname quotactl quotactl_fd lookup_dcookie fanotify_init bpf perf_event_open syslog`),
  CAP_BPF: ['bpf'],
  CAP_PERFMON: ['perf_event_open'],
  CAP_CHECKPOINT_RESTORE: ['kcmp'],
  CAP_DAC_READ_SEARCH: ['open_by_handle_at'],
  CAP_SYS_BOOT: ['reboot'],
  CAP_SYS_CHROOT: ['chroot'],
  CAP_SYS_MODULE: ['init_module', 'finit_module', 'delete_module'],
  CAP_SYS_NICE: ['get_mempolicy', 'set_mempolicy', 'set_mempolicy_home_node', 'mbind', 'migrate_pages', 'move_pages'],
  CAP_SYS_PACCT: ['acct'],
  CAP_SYS_PTRACE: ['process_vm_readv', 'process_vm_writev', 'pidfd_getfd', 'kcmp', 'ptrace'],
  CAP_SYS_RAWIO: ['iopl', 'ioperm'],
  CAP_SYS_TIME: ['settimeofday', 'stime', 'clock_settime', 'clock_settime64', 'clock_adjtime', 'clock_adjtime64'],
  CAP_SYS_TTY_CONFIG: ['vhangup'],
  CAP_SYSLOG: ['syslog'],
}

/** Calls that depend on their arguments or on the kernel; `seccomp.ts` has the conditions. */
export const CONDITIONAL: readonly string[] = ['clone', 'personality', 'ptrace', 'socket', 'socketcall']

/** Calls that no container makes under this profile, each group with its reason. */
export const DENIED: readonly string[] = words(`
  ${/* kernel keyrings belong to the machine, not to a namespace */ ''}
  add_key request_key keyctl
  ${/* another kernel, other swap, another root for everybody */ ''}
  kexec_load kexec_file_load swapon swapoff pivot_root
  ${/* large and young kernel code that has been the way out of sandboxes */ ''}
  io_uring_setup io_uring_enter io_uring_register userfaultfd
  ${/* changes how other processes are confined */ ''}
  lsm_set_self_attr
  ${/* obsolete: kept by the kernel for old programs, or empty places of its tables */ ''}
  _sysctl sysfs ustat uselib nfsservctl create_module get_kernel_syms query_module vm86 vm86old
  afs_syscall arch_specific_syscall bdflush break ftime getpmsg gtty idle lock mpx prof profil putpmsg security stty syscalls tuxcall
  ulimit vserver`)

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
