#!/usr/bin/env bash
# boxo v0.43.0: behind a 301 the pinning client's Add pins nothing and answers nil
#
# Go's net/http repeats a POST as a GET when it is redirected by 301 or 302, as browsers
# do. The client of the Pinning Services API follows, so that its POST /pins arrives as
# GET /pins, which is a valid request: the list of pins. Add decodes the list as the
# status of a pin and gives no error; only the empty request id shows it. A service that
# moved its address, or http to https, loses all pins so. With a 308 all is well.
#
# Seen:
#   301: the service saw GET /pins; Add: requestid "", <nil>
#   308: the service saw POST /pins; Add: requestid "1", <nil>
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require (
	github.com/ipfs/boxo v0.43.0
	github.com/ipfs/go-cid v0.6.2
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	psa "github.com/ipfs/boxo/pinning/remote/client"
	"github.com/ipfs/go-cid"
)

const (
	root   = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
	noPins = `{"count":0,"results":[]}`
	onePin = `{"requestid":"1","status":"queued","created":"2026-01-02T03:04:05Z","pin":{"cid":"` + root + `"},"delegates":[]}`
)

// add pins by way of an address that redirects to the service.
func add(redirect int) (seen, requestID string, err error) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Method + " " + r.URL.Path
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(onePin))
			return
		}
		_, _ = w.Write([]byte(noPins))
	}))
	defer service.Close()
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, service.URL+r.URL.Path, redirect)
	}))
	defer moved.Close()
	status, err := psa.NewClient(moved.URL, "token").Add(context.Background(), cid.MustParse(root))
	if err == nil {
		requestID = status.GetRequestId()
	}
	return seen, requestID, err
}

func main() {
	seen301, id301, err301 := add(http.StatusMovedPermanently)
	seen308, id308, err308 := add(http.StatusPermanentRedirect)
	fmt.Printf("301: the service saw %s; Add: requestid %q, %v\n", seen301, id301, err301)
	fmt.Printf("308: the service saw %s; Add: requestid %q, %v\n", seen308, id308, err308)
	if seen308 != "POST /pins" || id308 != "1" || err308 != nil {
		os.Exit(2)
	}
	if seen301 != "GET /pins" || id301 != "" || err301 != nil {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding
