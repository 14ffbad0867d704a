package authhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// maxBody is the maximum size of a request's body, in bytes: enough for the longest
// password with every byte escaped.
const maxBody = 8 << 10

// bodyTimeout is the time limit for a body: enough for 8 KiB at the speed of a modem. It is
// short because clients can send a body without a token.
const bodyTimeout = 10 * time.Second

var (
	errMediaType = &httpError{http.StatusUnsupportedMediaType, "send JSON with Content-Type: application/json, or a form"}
	errNotJSON   = &httpError{http.StatusUnsupportedMediaType, "send JSON with Content-Type: application/json"}
	errNoObject  = &httpError{http.StatusBadRequest, "the body is not one JSON object"}
)

// optional before the name of a field says that the field may be left out.
const optional = "?"

// readFields reads the named fields, which are text, from a body that is JSON or a form. It
// ignores other fields. It also ignores the query, because proxies log URLs.
//
// If a body has no content type, or the one that curl gives to everything, it is JSON if it
// begins with a brace. No form with these fields begins with one.
func readFields(c echo.Context, names ...string) (map[string]string, error) {
	media, params := "", map[string]string(nil)
	if given := c.Request().Header.Get(echo.HeaderContentType); given != "" {
		var err error
		if media, params, err = mime.ParseMediaType(given); err != nil {
			return nil, errMediaType
		}
	}
	body, err := readBody(c)
	if err != nil {
		return nil, err
	}
	if (media == "" || media == echo.MIMEApplicationForm) && beginsObject(body) {
		media = echo.MIMEApplicationJSON
	}
	required := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.HasPrefix(n, optional) })
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, optional)
	}
	var fields map[string]string
	switch media {
	case echo.MIMEApplicationJSON:
		fields, err = jsonFields(body, names)
	case echo.MIMEApplicationForm:
		var form url.Values
		if form, err = url.ParseQuery(string(body)); err != nil {
			return nil, &httpError{http.StatusBadRequest, "the body is not a form"}
		}
		fields, err = formFields(form, names)
	case echo.MIMEMultipartForm:
		form, ferr := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(maxBody)
		if ferr != nil {
			return nil, &httpError{http.StatusBadRequest, "the body is not a multipart form"}
		}
		defer form.RemoveAll()
		fields, err = formFields(form.Value, names)
	default:
		return nil, errMediaType
	}
	if err != nil {
		return nil, err
	}
	for _, name := range required {
		if fields[name] == "" {
			return nil, invalid(name, "is missing")
		}
	}
	return fields, nil
}

// readBody reads the whole body of a request. If the body is not complete within
// bodyTimeout, the connection cannot be used any more.
func readBody(c echo.Context) ([]byte, error) {
	conn := http.NewResponseController(c.Response())
	if err := conn.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fmt.Errorf("set a time limit for the body: %w", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &httpError{http.StatusRequestEntityTooLarge, "the body is larger than 8 KiB"}
	}
	if gone := c.Request().Context().Err(); err != nil && gone != nil {
		return nil, fmt.Errorf("read body: %w", errors.Join(gone, err))
	}
	if err != nil {
		return nil, &httpError{http.StatusBadRequest, "the body could not be read to its end"}
	}
	// The time after this is not the client's.
	if err := conn.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fmt.Errorf("end the time limit of the body: %w", err)
	}
	return body, nil
}

// ReadJSON reads a JSON object into the fields of v. It ignores other members. Its errors
// contain nothing of the body.
func ReadJSON(c echo.Context, v any) error {
	media, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || media != echo.MIMEApplicationJSON {
		return errNotJSON
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	if !beginsObject(body) {
		return errNoObject
	}
	err = json.Unmarshal(body, v)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return invalid(wrong.Field, "is not of the right type or size")
	}
	if err != nil {
		return errNoObject
	}
	return nil
}

// beginsObject reports whether a text may be a JSON object.
func beginsObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

// jsonFields reads members of an object. Its errors contain nothing of the body, because
// that has passwords.
func jsonFields(body []byte, names []string) (map[string]string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return nil, errNoObject
	}
	fields := make(map[string]string)
	for _, name := range names {
		value, there := object[name]
		if !there {
			continue
		}
		var s *string
		if err := json.Unmarshal(value, &s); err != nil {
			return nil, invalid(name, "must be a string")
		}
		if s != nil {
			fields[name] = *s
		}
	}
	return fields, nil
}

func formFields(form map[string][]string, names []string) (map[string]string, error) {
	fields := make(map[string]string)
	for _, name := range names {
		switch values := form[name]; len(values) {
		case 0:
		case 1:
			fields[name] = values[0]
		default:
			return nil, invalid(name, "is given more than once")
		}
	}
	return fields, nil
}
