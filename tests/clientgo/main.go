// Command clientgo drives a server with an unmodified client-go and prints "ok WHAT" or "not ok WHAT" for each
// thing that operators and kubectl do with it.
//
//	clientgo --kubeconfig FILE [--extender ADDRESS] [--kubelet-ca CERT --kubelet-ca-key KEY [--pid N]]
//
// --extender is where the server's scheduler asks its extender: see schedulingChecks for what else it has to be
// configured with. With the authority that signs the serving certificates of kubelets it also plays a node, with Kubernetes' own
// streaming server, and sends exec, attach, logs and port-forward through the API server to it. --pid is the API
// server's process: its threads and files are counted before and after.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var failed = false

// check runs one test and prints its line.
func check(what string, test func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	if err := test(ctx); err != nil {
		failed = true
		fmt.Printf("not ok client-go: %s\n  # %v\n", what, err)
		return
	}
	fmt.Printf("ok client-go: %s\n", what)
}

// want is an error unless the condition holds.
func want(condition bool, format string, arguments ...any) error {
	if condition {
		return nil
	}
	return fmt.Errorf(format, arguments...)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// protobuf is a client's configuration with Kubernetes' binary form.
func protobuf(config *rest.Config) *rest.Config {
	out := rest.CopyConfig(config)
	out.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	out.ContentType = "application/vnd.kubernetes.protobuf"
	return out
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "")
	ca := flag.String("kubelet-ca", "", "")
	key := flag.String("kubelet-ca-key", "", "")
	pid := flag.Int("pid", 0, "")
	extender := flag.String("extender", "", "")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clientgo:", err)
		os.Exit(1)
	}
	config.QPS, config.Burst = 1000, 1000
	client := kubernetes.NewForConfigOrDie(config)
	discoveryChecks(config, client)
	objectChecks(config, client)
	informerChecks(config, client)
	accessChecks(config, client)
	if *extender != "" {
		schedulingChecks(client, *extender)
	}
	if *ca != "" {
		streamChecks(config, client, *ca, *key, *pid)
	}
	if failed {
		os.Exit(1)
	}
}
