// Command control-plane is etcd, kube-apiserver and kubectl in one file: which
// one it is depends on the name it is called by, or on its first argument.
// One file, because the three share most of their packages: built together they
// cost a third less time and space than apart. With the tag standalone it is
// all that a control plane without a cluster needs.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if play := programs[filepath.Base(os.Args[0])]; play != nil {
		play()
		return
	}
	if len(os.Args) > 1 {
		if play := programs[os.Args[1]]; play != nil {
			os.Args = os.Args[1:]
			play()
			return
		}
	}
	names := strings.Join(slices.Sorted(maps.Keys(programs)), "|")
	fmt.Fprintf(os.Stderr, "usage: control-plane %s [arguments]\n", names)
	os.Exit(2)
}

// programs are what this file can be; each reads os.Args as if it were alone.
var programs = map[string]func(){
	"etcd":           func() { etcdmain.Main(os.Args) },
	"kube-apiserver": func() { os.Exit(cli.Run(app.NewAPIServerCommand())) },
	"kubectl": func() {
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err)
		}
	},
}
