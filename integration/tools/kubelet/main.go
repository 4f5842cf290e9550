// A node's agent as far as port-forward goes: the kubelet's own streaming code in front of processes without containers.
//
// usage: kubelet ADDRESS:PORT FILE
//
// FILE is a JSON object that says which address on this machine stands for a port of a pod:
// {"NAMESPACE/POD": {"10246": "127.0.0.1:20002"}}; it is read again for each connection. Every node that the API server
// knows by this address is this program.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"
)

type forwarder struct{ file string }

func (f forwarder) PortForward(_ context.Context, pod string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	text, err := os.ReadFile(f.file)
	if err != nil {
		return err
	}
	places := map[string]map[string]string{}
	if err := json.Unmarshal(text, &places); err != nil {
		return err
	}
	address, known := places[pod][strconv.Itoa(int(port))]
	if !known {
		return fmt.Errorf("nothing listens on port %d of pod %s", port, pod)
	}
	connection, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	_ = connection.Close()
	return err
}

func serve(file string) http.HandlerFunc {
	return func(answer http.ResponseWriter, request *http.Request) {
		// The API server asks for /portForward/NAMESPACE/POD.
		parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
		if len(parts) < 3 || parts[0] != "portForward" {
			http.NotFound(answer, request)
			return
		}
		options, err := portforward.NewV4Options(request)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(answer, request, forwarder{file}, parts[1]+"/"+parts[2], "", options,
			time.Hour, 30*time.Second, []string{portforward.ProtocolV1Name})
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: kubelet ADDRESS:PORT FILE")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr:              os.Args[1],
		Handler:           serve(os.Args[2]),
		ReadHeaderTimeout: 10 * time.Second,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
		},
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
