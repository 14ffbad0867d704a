package daemon

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// openAPIPath is where the description of everything under /api is served.
const openAPIPath = "/api/openapi.yaml"

// openAPI is written by hand. A test holds it against the routes and their
// answers.
//
//go:embed openapi.yaml
var openAPI []byte

func serveOpenAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", openAPI)
}
