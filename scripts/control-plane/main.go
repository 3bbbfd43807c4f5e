// Command control-plane is etcd with its tools, kube-apiserver,
// kube-controller-manager and kubectl in one file: which one it is depends on
// the name it is called by, or on its first argument. One file, because they
// share most of their packages: built together they cost much less time and
// space than apart.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	// The tools of etcd let every command of this file be shortened.
	cobra.EnablePrefixMatching = false
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
	fmt.Fprintln(os.Stderr, "usage: control-plane etcd|etcdctl|etcdutl|kube-apiserver|kube-controller-manager|kubectl [arguments]")
	os.Exit(2)
}

// programs are what this file can be; each reads os.Args as if it were alone.
var programs = map[string]func(){
	"etcd":    func() { etcdmain.Main(os.Args) },
	"etcdctl": ctlv3.MustStart,
	"etcdutl": func() {
		if err := newEtcdutl().Execute(); err != nil {
			os.Exit(1)
		}
	},
	"kube-apiserver":          func() { os.Exit(cli.Run(apiserver.NewAPIServerCommand())) },
	"kube-controller-manager": func() { os.Exit(cli.Run(controllermanager.NewControllerManagerCommand())) },
	"kubectl": func() {
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err)
		}
	},
}

// newEtcdutl puts together what etcd keeps in a main package of its own.
func newEtcdutl() *cobra.Command {
	root := &cobra.Command{Use: "etcdutl", Short: "Looks at and restores snapshots of etcd"}
	root.PersistentFlags().StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple", "fields, json, protobuf, simple or table")
	root.PersistentFlags().DurationVar(&etcdutl.FlockTimeout, "timeout", 10*time.Second, "how long to wait for a file that another process has locked")
	root.AddCommand(etcdutl.NewDefragCommand(), etcdutl.NewSnapshotCommand(), etcdutl.NewHashKVCommand(), etcdutl.NewVersionCommand())
	return root
}
