package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

//go:embed static/*.js static/*.css static/*.svg
var staticFiles embed.FS

// asset is a file that pages use, ready to be sent.
type asset struct {
	media        string
	plain, small []byte // small is compressed
	version      string // of its content
}

// assets are the files by name. They are compressed once, when the first page is rendered.
var assets = sync.OnceValue(func() map[string]asset {
	all := map[string]asset{}
	list, err := staticFiles.ReadDir("static")
	if err != nil { // it is in the binary
		panic(err)
	}
	for _, f := range list {
		plain, err := staticFiles.ReadFile("static/" + f.Name())
		if err != nil {
			panic(err)
		}
		var small bytes.Buffer
		w, _ := gzip.NewWriterLevel(&small, gzip.BestCompression) // the level is a known one
		_, _ = w.Write(plain)                                     // into memory
		_ = w.Close()
		sum := sha256.Sum256(plain)
		all[f.Name()] = asset{
			media: mime.TypeByExtension(path.Ext(f.Name())), plain: plain, small: small.Bytes(),
			version: base64.RawURLEncoding.EncodeToString(sum[:9]),
		}
	}
	return all
})

// assetURL is where a page finds a file. It changes with the content, so browsers may keep
// the file for good.
func assetURL(name string) (string, error) {
	a, ok := assets()[name]
	if !ok {
		return "", fmt.Errorf("there is no file %q", name)
	}
	return Base + "/static/" + name + "?v=" + a.version, nil
}

func serveStatic(c echo.Context) error {
	a, ok := assets()[c.Param("name")]
	if !ok {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
	h.Set("Etag", `"`+a.version+`"`)
	h.Set(echo.HeaderCacheControl, "no-cache")
	if c.QueryParam("v") == a.version {
		h.Set(echo.HeaderCacheControl, "public, max-age=31536000, immutable")
	}
	if strings.Contains(c.Request().Header.Get("If-None-Match"), a.version) {
		return c.NoContent(http.StatusNotModified)
	}
	body := a.plain
	if strings.Contains(c.Request().Header.Get(echo.HeaderAcceptEncoding), "gzip") {
		h.Set(echo.HeaderContentEncoding, "gzip")
		body = a.small
	}
	return c.Blob(http.StatusOK, a.media, body)
}
