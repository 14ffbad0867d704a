// Package clients tests the description of the API. Well-known generators make clients from it, and
// these call every operation of the real server:
//
//   - oapi-codegen and ogen, for Go
//   - hey-api, whose answers are checked by zod, and openapi-typescript with
//     openapi-fetch, for TypeScript
//
// `make test-clients` runs it. It is its own module, because nothing else needs the
// generators. It needs node, and npm, which fetches the generators for TypeScript.
package clients

// The imports of the generated code are here, so that go.mod has them.
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
