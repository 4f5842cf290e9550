// Echo is one version of the shop: it answers every request with the VERSION that it was started as.
//
// GET /-/ready is its readiness; PUT /-/ready?is=false makes it unready, and ?is=true ready again.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	version := os.Getenv("VERSION")
	var unready atomic.Bool
	routes := http.NewServeMux()
	routes.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if unready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	routes.HandleFunc("PUT /-/ready", func(w http.ResponseWriter, r *http.Request) {
		unready.Store(r.URL.Query().Get("is") == "false")
		fmt.Fprintf(w, "{\"ready\": %t}\n", !unready.Load())
	})
	routes.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Version", version)
		w.Header().Set("Set-Cookie", "version="+version+"; Path=/")
		fmt.Fprintln(w, version)
	})
	server := &http.Server{Addr: ":8080", Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	over, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ended := make(chan struct{})
	go func() {
		<-over.Done()
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(limit)
		close(ended)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-ended
}
