// Asks containers' own library whether a policy allows an image: the judge of what Strata decides.
//
//	policyJudge POLICY REGISTRIES.D docker://HOST/NAME:TAG
//
// Ends with 0 when it is allowed, with 1 and a reason when not, with 2 when it cannot tell.
package main

import (
	"context"
	"fmt"
	"os"

	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/transports/alltransports"
	"go.podman.io/image/v5/types"
)

func main() {
	policy, err := signature.NewPolicyFromFile(os.Args[1])
	if err != nil {
		refuse(err)
	}
	judge, err := signature.NewPolicyContext(policy)
	if err != nil {
		fail(err)
	}
	reference, err := alltransports.ParseImageName(os.Args[3])
	if err != nil {
		fail(err)
	}
	system := &types.SystemContext{
		RegistriesDirPath:           os.Args[2],
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
	}
	ctx := context.Background()
	source, err := reference.NewImageSource(ctx, system)
	if err != nil {
		fail(err)
	}
	if allowed, err := judge.IsRunningImageAllowed(ctx, image.UnparsedInstance(source, nil)); !allowed {
		refuse(err)
	}
}

func refuse(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
