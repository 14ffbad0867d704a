// Package clients tests the real server with the clients that people have.
//
// Four generators make clients of the API's description, which call every operation:
//
//   - oapi-codegen and ogen, for Go
//   - hey-api, whose answers zod checks, and openapi-typescript with openapi-fetch, for
//     TypeScript
//
// The pinning API has clients of its own. They make every request that they can, errors
// included:
//
//   - boxo, which is Kubo's client too, and go-pinning-service-http-client, for Go
//   - @ipfs-shipyard/pinning-service-client in its three major versions,
//     @helia/remote-pinning, @filebase/sdk and the requests of omnipin, for JavaScript
//   - kubo-rpc-client, with a real Kubo between
//
// A page with a Helia in it, in a headless Chromium, pins what only the page has, over each
// transport that a page can dial a server by.
//
// The compliance suite that the API's makers publish, @ipfs-shipyard/pinning-service-compliance, passes in
// all of its checks.
//
// Two linters, redocly and spectral, find nothing in the description.
//
// `make test-clients` runs it. It is a module of its own, since nothing else needs the
// clients. It needs node, npm, which fetches those for JavaScript, and Chromium, which
// Debian has as chromium.
package clients

// The generated code imports these, so the module must have them.
import (
	_ "github.com/go-faster/errors"
	_ "github.com/go-faster/jx"
	_ "github.com/google/uuid"
	_ "github.com/oapi-codegen/runtime"
	_ "github.com/oapi-codegen/runtime/types"
	_ "github.com/ogen-go/ogen/conv"
	_ "github.com/ogen-go/ogen/http"
	_ "github.com/ogen-go/ogen/json"
	_ "github.com/ogen-go/ogen/middleware"
	_ "github.com/ogen-go/ogen/ogenerrors"
	_ "github.com/ogen-go/ogen/otelogen"
	_ "github.com/ogen-go/ogen/uri"
	_ "github.com/ogen-go/ogen/validate"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/attribute"
	_ "go.opentelemetry.io/otel/codes"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/semconv/v1.39.0"
	_ "go.opentelemetry.io/otel/trace"
)
