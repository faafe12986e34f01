package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/client-go/util/retry"

	streamforward "k8s.io/kubelet/pkg/cri/streaming/portforward"
	streaming "k8s.io/kubelet/pkg/cri/streaming/remotecommand"
)

const nodeName, podName = "clientgo-node", "clientgo-pod"

// node is a kubelet as far as the API server's connections go, made of Kubernetes' own streaming server.
type node struct {
	running atomic.Int64 // commands, forwards and logs under way
	server  *httptest.Server

	mutex       sync.Mutex
	connections []net.Conn
}

// tracking remembers what it accepted: the server forgets connections that were upgraded.
type tracking struct {
	net.Listener
	node *node
}

func (t tracking) Accept() (net.Conn, error) {
	connection, err := t.Listener.Accept()
	if err == nil {
		t.node.mutex.Lock()
		t.node.connections = append(t.node.connections, connection)
		t.node.mutex.Unlock()
	}
	return connection, err
}

// drop closes every connection, as a machine that loses its power does.
func (n *node) drop() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, connection := range n.connections {
		_ = connection.Close()
	}
	n.connections = nil
}

type exitStatus int

func (e exitStatus) Error() string   { return fmt.Sprintf("exit status %d", int(e)) }
func (e exitStatus) String() string  { return e.Error() }
func (e exitStatus) Exited() bool    { return true }
func (e exitStatus) ExitStatus() int { return int(e) }

// ExecInContainer knows four commands.
func (n *node) ExecInContainer(ctx context.Context, _ string, _ types.UID, _ string, command []string, in io.Reader, out, stderr io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	n.running.Add(1)
	defer n.running.Add(-1)
	switch command[0] {
	case "cat":
		_, err := io.Copy(out, in)
		return err
	case "both":
		fmt.Fprint(out, "to stdout ", strings.Join(command[1:], "|"))
		fmt.Fprint(stderr, "to stderr")
		return exitStatus(7)
	case "size":
		size := <-resize
		fmt.Fprintf(out, "%dx%d tty=%v", size.Width, size.Height, tty)
		return nil
	case "forever":
		for {
			if _, err := out.Write([]byte("again ")); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return fmt.Errorf("no command %q", command[0])
}

func (n *node) AttachContainer(ctx context.Context, name string, uid types.UID, container string, in io.Reader, out, stderr io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return n.ExecInContainer(ctx, name, uid, container, []string{"cat"}, in, out, stderr, tty, resize, 0)
}

// PortForward answers every line with the port and the line, but not on port 1.
func (n *node) PortForward(_ context.Context, _ string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	n.running.Add(1)
	defer n.running.Add(-1)
	if port == 1 {
		return errors.New("connection refused by the test")
	}
	if _, err := fmt.Fprintf(stream, "%d ", port); err != nil {
		return err
	}
	_, err := io.Copy(stream, stream)
	return err
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	protocols := []string{"v4.channel.k8s.io"}
	switch {
	case len(r.TLS.PeerCertificates) == 0:
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
	case r.Header.Get("Authorization") != "":
		http.Error(w, "the caller's credentials came through", http.StatusBadRequest)
	case parts[0] == "exec" || parts[0] == "attach":
		options, err := streaming.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if parts[0] == "exec" {
			streaming.ServeExec(w, r, n, parts[2], "", parts[3], r.URL.Query()["command"], options, time.Hour, 10*time.Second, protocols)
		} else {
			streaming.ServeAttach(w, r, n, parts[2], "", parts[3], options, time.Hour, 10*time.Second, protocols)
		}
	case parts[0] == "portForward":
		options, err := streamforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		streamforward.ServePortForward(w, r, n, parts[2], "", options, time.Hour, 10*time.Second, []string{"portforward.k8s.io"})
	case parts[0] == "containerLogs" && r.URL.Query().Get("previous") == "true":
		http.Error(w, "previous terminated container \"c\" not found", http.StatusBadRequest)
	case parts[0] == "containerLogs":
		n.running.Add(1)
		defer n.running.Add(-1)
		fmt.Fprintf(w, "tail %s\n", r.URL.Query().Get("tailLines"))
		for r.URL.Query().Get("follow") == "true" && r.Context().Err() == nil {
			fmt.Fprintln(w, "more")
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	case parts[0] == "moved":
		http.Redirect(w, r, "/elsewhere?a=b", http.StatusFound)
	case parts[0] == "elsewhere":
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RawQuery, r.Header.Get("X-Forwarded-Uri"))
	default:
		http.NotFound(w, r)
	}
}

// start listens with a serving certificate of the cluster's and makes the Node that says where.
func (n *node) start(ctx context.Context, client *kubernetes.Clientset, caFile, keyFile, address string) error {
	pair, err := tls.LoadX509KeyPair(caFile, keyFile)
	if err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{nodeName},
		IPAddresses: []net.IP{net.ParseIP(address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), pair.PrivateKey)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return err
	}
	n.server = httptest.NewUnstartedServer(n)
	_ = n.server.Listener.Close()
	n.server.Listener = tracking{listener, n}
	n.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert}
	n.server.StartTLS()
	port := listener.Addr().(*net.TCPAddr).Port
	if _, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	// Controllers write to nodes, too.
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		now.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
		now.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
		_, err = client.CoreV1().Nodes().UpdateStatus(ctx, now, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: podName},
		Spec: corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	return err
}

type makeExecutor func(*rest.Config, *url.URL) (remotecommand.Executor, error)

func spdyExecutor(config *rest.Config, u *url.URL) (remotecommand.Executor, error) {
	return remotecommand.NewSPDYExecutor(config, http.MethodPost, u)
}

func webSocketExecutor(config *rest.Config, u *url.URL) (remotecommand.Executor, error) {
	return remotecommand.NewWebSocketExecutor(config, http.MethodGet, u.String())
}

type sizes struct{ sent bool }

func (s *sizes) Next() *remotecommand.TerminalSize {
	if s.sent {
		return nil
	}
	s.sent = true
	return &remotecommand.TerminalSize{Width: 132, Height: 43}
}

func podRequest(client *kubernetes.Clientset, subresource string) *rest.Request {
	return client.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name(podName).SubResource(subresource)
}

func execURL(client *kubernetes.Clientset, options *corev1.PodExecOptions) *url.URL {
	return podRequest(client, "exec").VersionedParams(options, scheme.ParameterCodec).URL()
}

func execChecks(name string, config *rest.Config, client *kubernetes.Clientset, executor makeExecutor, n *node) {
	run := func(ctx context.Context, options *corev1.PodExecOptions, streams remotecommand.StreamOptions) error {
		e, err := executor(config, execURL(client, options))
		if err != nil {
			return err
		}
		return e.StreamWithContext(ctx, streams)
	}
	check(name+": stdout, stderr and exit status", func(ctx context.Context) error {
		var out, stderr bytes.Buffer
		err := run(ctx, &corev1.PodExecOptions{Command: []string{"both", "a b", "c&d"}, Stdout: true, Stderr: true}, remotecommand.StreamOptions{Stdout: &out, Stderr: &stderr})
		var exit utilexec.ExitError
		return first(want(errors.As(err, &exit) && exit.ExitStatus() == 7, "ended with %v", err),
			want(out.String() == "to stdout a b|c&d" && stderr.String() == "to stderr", "%q %q", out.String(), stderr.String()))
	})
	check(name+": a megabyte through stdin", func(ctx context.Context) error {
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		var out bytes.Buffer
		err := run(ctx, &corev1.PodExecOptions{Command: []string{"cat"}, Stdin: true, Stdout: true}, remotecommand.StreamOptions{Stdin: bytes.NewReader(sent), Stdout: &out})
		return first(err, want(bytes.Equal(out.Bytes(), sent), "%d bytes came back", out.Len()))
	})
	check(name+": a terminal and its size", func(ctx context.Context) error {
		var out bytes.Buffer
		in, _ := io.Pipe()
		err := run(ctx, &corev1.PodExecOptions{Command: []string{"size"}, Stdin: true, Stdout: true, TTY: true}, remotecommand.StreamOptions{Stdin: in, Stdout: &out, Tty: true, TerminalSizeQueue: &sizes{}})
		return first(err, want(out.String() == "132x43 tty=true", "%q", out.String()))
	})
	check(name+": a command that cannot start", func(ctx context.Context) error {
		err := run(ctx, &corev1.PodExecOptions{Command: []string{"nosuch"}, Stdout: true}, remotecommand.StreamOptions{Stdout: io.Discard})
		return want(err != nil && strings.Contains(err.Error(), `no command "nosuch"`), "%v", err)
	})
	check(name+": attach", func(ctx context.Context) error {
		e, err := executor(config, podRequest(client, "attach").VersionedParams(&corev1.PodAttachOptions{Container: "c", Stdin: true, Stdout: true}, scheme.ParameterCodec).URL())
		if err != nil {
			return err
		}
		var out bytes.Buffer
		err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader("attached"), Stdout: &out})
		return first(err, want(out.String() == "attached", "%q", out.String()))
	})
	check(name+": a client that goes away ends the command", func(ctx context.Context) error {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_ = run(short, &corev1.PodExecOptions{Command: []string{"forever"}, Stdout: true}, remotecommand.StreamOptions{Stdout: io.Discard})
		return soon(ctx, "the command ends", func() bool { return n.running.Load() == 0 })
	})
	check(name+": a kubelet that goes away ends the session", func(ctx context.Context) error {
		ended := make(chan error, 1)
		go func() {
			ended <- run(ctx, &corev1.PodExecOptions{Command: []string{"forever"}, Stdout: true}, remotecommand.StreamOptions{Stdout: io.Discard})
		}()
		if err := soon(ctx, "the command runs", func() bool { return n.running.Load() == 1 }); err != nil {
			return err
		}
		n.drop()
		select {
		case <-ended:
			return soon(ctx, "the command ends", func() bool { return n.running.Load() == 0 })
		case <-ctx.Done():
			return errors.New("it goes on")
		}
	})
}

func forwardChecks(name string, config *rest.Config, client *kubernetes.Clientset, tunnelled bool, n *node) {
	check(name, func(ctx context.Context) error {
		u := podRequest(client, "portforward").URL()
		transport, upgrader, err := spdy.RoundTripperFor(config)
		if err != nil {
			return err
		}
		dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
		if tunnelled {
			if dialer, err = portforward.NewSPDYOverWebsocketDialer(u, config); err != nil {
				return err
			}
		}
		stop, ready := make(chan struct{}), make(chan struct{})
		forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:8080", "0:1"}, stop, ready, io.Discard, io.Discard)
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- forwarder.ForwardPorts() }()
		select {
		case <-ready:
		case err := <-ended:
			return err
		}
		ports, err := forwarder.GetPorts()
		if err != nil {
			return err
		}
		for i := range 3 {
			line := fmt.Sprintf("line %d", i)
			answer, err := through(ports[0].Local, line)
			if err := first(err, want(answer == "8080 "+line, "%q", answer)); err != nil {
				return err
			}
		}
		// What the pod refuses ends the session, which is how client-go takes it.
		_, _ = through(ports[1].Local, "refused")
		select {
		case err = <-ended:
		case <-ctx.Done():
			return errors.New("it goes on")
		}
		close(stop)
		return first(want(errors.Is(err, portforward.ErrLostConnectionToPod), "ended with %v", err), soon(ctx, "the forwards end", func() bool { return n.running.Load() == 0 }))
	})
}

// through sends a text to a local port and reads what comes until the end.
func through(port uint16, text string) (string, error) {
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(connection, text); err != nil {
		return "", err
	}
	_ = connection.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(connection)
	return string(answer), err
}

// held counts what a process holds: threads and open files.
func held(pid int) (threads, files int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(tasks), len(fds)
}

// ownAddress is one of this machine's that is neither loopback nor link-local, as nodes have.
func ownAddress() string {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if network, is := a.(*net.IPNet); is && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	return "127.0.0.1"
}

func streamChecks(config *rest.Config, client *kubernetes.Clientset, ca, key string, pid int) {
	n := &node{}
	started := false
	check("a node", func(ctx context.Context) error {
		err := n.start(ctx, client, ca, key, ownAddress())
		started = err == nil
		return err
	})
	if !started {
		return
	}
	// The first of each makes threads that stay.
	threads, files := held(pid)
	for name, executor := range map[string]makeExecutor{"exec over SPDY": spdyExecutor, "exec over WebSocket": webSocketExecutor} {
		execChecks(name, config, client, executor, n)
	}
	check("exec falls back from WebSocket to SPDY", func(ctx context.Context) error {
		u := execURL(client, &corev1.PodExecOptions{Command: []string{"cat"}, Stdin: true, Stdout: true})
		ws, _ := webSocketExecutor(config, u)
		plain, _ := spdyExecutor(config, u)
		e, err := remotecommand.NewFallbackExecutor(ws, plain, func(error) bool { return true })
		if err != nil {
			return err
		}
		var out bytes.Buffer
		err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader("x"), Stdout: &out})
		return first(err, want(out.String() == "x", "%q", out.String()))
	})
	forwardChecks("port-forward over SPDY", config, client, false, n)
	forwardChecks("port-forward over WebSocket", config, client, true, n)
	check("logs", func(ctx context.Context) error {
		lines := int64(5)
		text, err := client.CoreV1().Pods("default").GetLogs(podName, &corev1.PodLogOptions{TailLines: &lines}).DoRaw(ctx)
		if err := first(err, want(string(text) == "tail 5\n", "%q", text)); err != nil {
			return err
		}
		_, err = client.CoreV1().Pods("default").GetLogs(podName, &corev1.PodLogOptions{Previous: true}).Stream(ctx)
		if err := want(err != nil && err.Error() == "previous terminated container \"c\" not found\n", "%v", err); err != nil {
			return err
		}
		stream, err := client.CoreV1().Pods("default").GetLogs(podName, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
		if err != nil {
			return err
		}
		some := make([]byte, 30)
		if _, err := io.ReadFull(stream, some); err != nil {
			return err
		}
		_ = stream.Close()
		return soon(ctx, "the kubelet hears of it", func() bool { return n.running.Load() == 0 })
	})
	check("a node's proxy", func(ctx context.Context) error {
		base := client.CoreV1().RESTClient().Get().Resource("nodes").Name(nodeName).SubResource("proxy")
		text, err := base.Suffix("moved").DoRaw(ctx)
		return first(err, want(string(text) == "GET a=b /api/v1/nodes/"+nodeName+"/proxy/elsewhere", "%q", text))
	})
	check("nothing is left of it all", func(ctx context.Context) error {
		if pid == 0 {
			return nil
		}
		var t, f int
		err := soon(ctx, "threads and files are as before", func() bool {
			client.CoreV1().RESTClient().(*rest.RESTClient).Client.CloseIdleConnections()
			t, f = held(pid)
			return t <= threads+2 && f <= files+2
		})
		if err != nil {
			return fmt.Errorf("%w: threads %d, then %d; files %d, then %d", err, threads, t, files, f)
		}
		return nil
	})
	zero := int64(0)
	_ = client.CoreV1().Pods("default").Delete(context.Background(), podName, metav1.DeleteOptions{GracePeriodSeconds: &zero})
	_ = client.CoreV1().Nodes().Delete(context.Background(), nodeName, metav1.DeleteOptions{})
	n.drop()
}
