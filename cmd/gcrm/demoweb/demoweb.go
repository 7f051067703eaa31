// Package demoweb is the small web server of the demonstration cluster: it
// tells which node serves, so that a failover can be seen in a browser.
package demoweb

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gcrm/drivers"
)

// Main runs the server until SIGTERM or SIGINT and returns the exit code:
// 0 for an orderly end, 1 if it cannot serve, 2 for wrong arguments.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return Run(ctx, args, os.Getenv(drivers.EnvNode), os.Stdout, os.Stderr)
}

// Run is Main for a node name, until ctx is done.
func Run(ctx context.Context, args []string, node string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("gcrm demo-web", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:8080", "address and port to serve")
	page := flags.String("page", "It works.", "text to show")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "gcrm demo-web: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	if node == "" {
		node, _ = os.Hostname()
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		fmt.Fprintln(stderr, "gcrm demo-web:", explain(*listen, err))
		return 1
	}
	fmt.Fprintf(stdout, "gcrm demo-web: serving http://%s on %s\n", listener.Addr(), node)
	server := &http.Server{Handler: handler(node, *page), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(stderr, "gcrm demo-web:", err)
		return 1
	}
	return 0
}

func handler(node, page string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Gcrm-Node", node)
		fmt.Fprintf(w, "%s\nserved by %s, process %d\n", page, node, os.Getpid())
	})
}

func explain(address string, err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("address %s is in use by another program", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("address %s is not on this host", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("address %s: no permission for this port", address)
	}
	return err.Error()
}
