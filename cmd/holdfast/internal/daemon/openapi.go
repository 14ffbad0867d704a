package daemon

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// openAPIPath is the path of the description of everything below /api.
const openAPIPath = "/api/openapi.yaml"

// openAPI is written by hand. A test compares it with the routes and their answers.
//
//go:embed openapi.yaml
var openAPI []byte

func serveOpenAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", openAPI)
}
