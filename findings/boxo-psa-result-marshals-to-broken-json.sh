#!/usr/bin/env bash
# boxo v0.43.0: what the pinning client answers cannot be encoded as JSON without origins
#
# PinStatusGetter and PinGetter of pinning/remote/client promise to be a json.Marshaler and
# a fmt.Stringer. They put the JSON together as text, and leave nothing where the list of
# origins belongs if a pin has none, which is the usual case: origins are optional in the
# Pinning Services API v1.0.0. json.Marshal then refuses the text, and String is empty.
#
# Seen:
#   without origins: json.Marshal: json: error calling MarshalJSON for type *go_pinning_service_http_client.pinStatusObject: invalid character ',' looking for beginning of value; String: 0 bytes
#   with origins: json.Marshal: <nil>; String: 280 bytes
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
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	psa "github.com/ipfs/boxo/pinning/remote/client"
	"github.com/ipfs/go-cid"
)

const root = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

// marshal pins, and encodes what the client answers. The service has the origins as JSON.
func marshal(name, origins string) (text string, err error) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"requestid":"1","status":"pinned","created":"2026-01-02T03:04:05Z","delegates":[],`+
			`"pin":{"cid":%q%s}}`, root, origins)
	}))
	defer service.Close()
	status, err := psa.NewClient(service.URL, "token").Add(context.Background(), cid.MustParse(root))
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
	_, err = json.Marshal(status)
	fmt.Printf("%s: json.Marshal: %v; String: %d bytes\n", name, err, len(status.String()))
	return status.String(), err
}

func main() {
	without, errWithout := marshal("without origins", "")
	with, errWith := marshal("with origins", `,"origins":["/ip4/127.0.0.1/tcp/4001"]`)
	if with == "" || errWith != nil {
		os.Exit(2)
	}
	if without != "" || errWithout == nil {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding
