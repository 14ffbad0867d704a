package daemon

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// sample is a good request to a route: with it the handler calls the parts beneath it.
type sample struct {
	body, query string
	// form: the body is a form with files, and not JSON.
	form bool
	// static: the route has nothing beneath it that can fail, and answers as always.
	static bool
	// lines: the status is sent before anything can fail. A fault is the last line of the
	// answer, and if the client hangs up the status stays.
	lines bool
	// faultIs is the status that stands for a fault by its meaning; 0 is 500.
	faultIs int
	// endless: the answer goes on until the client ends it, whatever fails beneath.
	endless bool
	// open: no session goes with it.
	open bool
	// bare: nothing beneath the route knows about the client.
	bare bool
}

const (
	sampleID   = "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
	sampleCID  = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
	samplePass = "correct horse battery"
	sampleForm = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n" +
		"Content-Type: application/octet-stream\r\n\r\nhello\r\n--x--\r\n"
)

// samples has one for each route of every router, by its method and its pattern. A
// route that is missing here fails TestEveryFaultIsTold.
func samples(refresh, email string) map[string]map[string]sample {
	login := fmt.Sprintf(`{"email":%q,"password":%q}`, email, samplePass)
	psaSamples := func(base string, more map[string]sample) map[string]sample {
		const spec = `{"cid":"` + sampleCID + `"}`
		for route, s := range map[string]sample{
			"GET /pins": {}, "POST /pins": {body: spec},
			"GET /pins/:requestid": {}, "POST /pins/:requestid": {body: spec}, "DELETE /pins/:requestid": {},
			echo.RouteNotFound + " ": {static: true}, echo.RouteNotFound + " /*": {static: true},
		} {
			method, path, _ := strings.Cut(route, " ")
			more[method+" "+base+path] = s
		}
		return more
	}
	return map[string]map[string]sample{
		"api": psaSamples("/api/psa", map[string]sample{
			"POST /api/auth/login":                 {body: login},
			"POST /api/auth/refresh":               {body: fmt.Sprintf(`{"refresh_token":%q}`, refresh)},
			"POST /api/auth/register":              {body: `{"email":"new@example.org","password":"` + samplePass + `"}`},
			"GET /api/auth/me":                     {},
			"POST /api/auth/logout":                {},
			"POST /api/auth/logout-all":            {},
			"POST /api/auth/password":              {body: `{"password":"` + samplePass + `","new_password":"` + samplePass + `2"}`},
			"GET /api/auth/tokens":                 {},
			"POST /api/auth/tokens":                {body: `{"name":"kubo","scope":"pin"}`},
			"DELETE /api/auth/tokens/:id":          {},
			"GET /api/admin/accounts":              {},
			"POST /api/admin/accounts":             {body: `{"email":"more@example.org","password":"` + samplePass + `"}`},
			"GET /api/admin/accounts/:id":          {},
			"DELETE /api/admin/accounts/:id":       {},
			"POST /api/admin/accounts/:id/quota":   {body: `{"quota":1}`},
			"POST /api/admin/accounts/:id/disable": {},
			"POST /api/admin/accounts/:id/enable":  {},
			"POST /api/admin/accounts/:id/role":    {body: `{"admin":false}`},
			"POST /api/admin/accounts/:id/password": {
				body: `{"password":"` + samplePass + `2","own_password":"` + samplePass + `"}`,
			},
			"GET /api/admin/accounts/:id/pins":     {},
			"GET /api/admin/owners":                {},
			"GET /api/admin/invites":               {},
			"POST /api/admin/invites":              {body: `{}`},
			"DELETE /api/admin/invites/:id":        {},
			"GET /api/admin/audit":                 {},
			"POST /api/v0/add":                     {body: sampleForm, form: true},
			"POST /api/v0/dag/import":              {body: sampleForm, form: true},
			"POST /api/v0/dag/put":                 {body: sampleForm, form: true, query: "pin=true"},
			"POST /api/v0/block/put":               {body: sampleForm, form: true, query: "pin=true"},
			"GET /api/admin/store/stats":           {},
			"GET /api/admin/store/runs":            {static: true},
			"POST /api/admin/store/runs":           {body: `{"kind":"reclaim"}`, static: true},
			"DELETE /api/admin/store/runs/:id":     {static: true},
			"GET /api/admin/history":               {static: true},
			"GET /api/admin/server/condition":      {},
			"POST /api/v0/block/get":               {query: "arg=" + sampleCID},
			"POST /api/v0/block/stat":              {query: "arg=" + sampleCID},
			"POST /api/v0/cat":                     {query: "arg=" + sampleCID},
			"POST /api/v0/dag/export":              {query: "arg=" + sampleCID},
			"POST /api/v0/dag/get":                 {query: "arg=" + sampleCID},
			"POST /api/v0/dag/stat":                {query: "arg=" + sampleCID},
			"POST /api/v0/get":                     {query: "arg=" + sampleCID},
			"POST /api/v0/ls":                      {query: "arg=" + sampleCID},
			"POST /api/v0/pin/add":                 {query: "arg=" + sampleCID},
			"POST /api/v0/pin/ls":                  {},
			"POST /api/v0/pin/rm":                  {query: "arg=" + sampleCID},
			"POST /api/v0/pin/update":              {query: "arg=" + sampleCID + "&arg=" + sampleCID},
			"POST /api/v0/refs":                    {query: "arg=" + sampleCID},
			"POST /api/v0/repo/stat":               {},
			"POST /api/v0/routing/findprovs":       {query: "arg=" + sampleCID, static: true},
			"POST /api/v0/swarm/peers":             {static: true},
			"POST /api/v0/commands":                {static: true},
			"POST /api/v0/id":                      {static: true},
			"POST /api/v0/version":                 {static: true},
			echo.RouteNotFound + " /api/v0":        {static: true},
			echo.RouteNotFound + " /api/v0/*":      {static: true},
			"GET /":                                {static: true},
			"GET /ui":                              {static: true},
			"GET /ui/static/:name":                 {static: true},
			"GET /ui/signin":                       {static: true, open: true},
			"POST /ui/signin":                      {body: "email=" + email + "&password=" + samplePass, open: true},
			"POST /ui/signout":                     {},
			"GET /ui/setup":                        {static: true, open: true},
			"POST /ui/setup":                       {static: true, open: true},
			"GET /ui/pins":                         {},
			"GET /ui/pins/live":                    {},
			"GET /ui/pins/remove":                  {query: "id=" + sampleID},
			"POST /ui/pins/remove":                 {body: "id=" + sampleID},
			"POST /ui/pins/undo":                   {static: true}, // it is in memory
			"POST /ui/pins/retry":                  {body: "id=" + sampleID},
			"GET /ui/pins/:id":                     {},
			"GET /ui/pins/:id/live":                {},
			"GET /ui/pins/:id/edit":                {},
			"POST /ui/pins/:id/edit":               {body: "cid=" + sampleCID},
			"GET /ui/pins/:id/files":               {},
			"GET /ui/pins/:id/file":                {},
			"GET /ui/pins/:id/preview":             {},
			"GET /ui/pins/:id/download":            {},
			"GET /ui/add":                          {static: true},
			"POST /ui/add":                         {body: "cid=" + sampleCID},
			"GET /ui/connect":                      {},
			"POST /ui/connect":                     {body: "name=kubo&scope=pin"},
			"GET /ui/tokens/:id/revoke":            {},
			"POST /ui/tokens/:id/revoke":           {},
			"GET /ui/account":                      {},
			"POST /ui/account/password":            {body: "password=" + samplePass + "&new_password=x" + samplePass + "&again=x" + samplePass},
			"POST /ui/account/signout-all":         {},
			"POST /ui/upload":                      {static: true}, // it is a form with files
			"GET /ui/server":                       {},
			"GET /ui/server/history":               {static: true},
			"GET /ui/accounts":                     {},
			"POST /ui/accounts":                    {body: "email=page@example.org&password=" + samplePass},
			"POST /ui/accounts/invite":             {},
			"POST /ui/accounts/invites/:id/revoke": {},
			"GET /ui/accounts/:id":                 {},
			"POST /ui/accounts/:id/quota":          {body: "quota=1"},
			"POST /ui/accounts/:id/password":       {body: "password=" + samplePass + "2&again=" + samplePass + "2&own_password=" + samplePass},
			"POST /ui/accounts/:id/:what":          {},
			"GET /ui/accounts/:id/remove":          {},
			"POST /ui/accounts/:id/remove":         {body: "pins=remove"},
			"GET /ui/audit":                        {},
			"GET /ui/store":                        {},
			"GET /ui/store/live":                   {endless: true},
			"POST /ui/store/runs":                  {}, // without a kind it shows the page again
			"POST /ui/store/runs/:id/end":          {static: true},
			"GET /ui/join":                         {static: true, open: true},
			"POST /ui/join":                        {static: true, open: true},
			echo.RouteNotFound + " /ui":            {static: true},
			echo.RouteNotFound + " /ui/*":          {static: true},
			"GET /healthz":                         {faultIs: http.StatusServiceUnavailable},
			"GET /readyz":                          {faultIs: http.StatusServiceUnavailable},
			"GET " + openAPIPath:                   {static: true},
			echo.RouteNotFound + " /api/auth":      {static: true},
			echo.RouteNotFound + " /api/auth/*":    {static: true},
			echo.RouteNotFound + " /api/admin":     {static: true},
			echo.RouteNotFound + " /api/admin/*":   {static: true},
		}),
		"admin": psaSamples("/api/psa", map[string]sample{
			"GET /api/admin/server":                 {static: true},
			"GET /api/admin/server/condition":       {},
			"GET /api/admin/server/support":         {},
			"GET /api/admin/accounts":               {},
			"POST /api/admin/accounts":              {body: `{"email":"more@example.org","password":"` + samplePass + `"}`},
			"GET /api/admin/accounts/:id":           {},
			"DELETE /api/admin/accounts/:id":        {},
			"POST /api/admin/accounts/:id/quota":    {body: `{"quota":1}`},
			"POST /api/admin/accounts/:id/disable":  {},
			"POST /api/admin/accounts/:id/enable":   {},
			"POST /api/admin/accounts/:id/role":     {body: `{"admin":false}`},
			"GET /api/admin/accounts/:id/pins":      {},
			"POST /api/admin/accounts/:id/password": {body: `{"password":"` + samplePass + `"}`},
			"GET /api/admin/accounts/:id/tokens":    {},
			"POST /api/admin/accounts/:id/tokens":   {body: `{"name":"kubo","scope":"pin"}`},
			"DELETE /api/admin/tokens/:id":          {},
			"POST /api/admin/keys/rotate":           {body: `{}`},
			"GET /api/admin/invites":                {},
			"POST /api/admin/invites":               {body: `{}`},
			"DELETE /api/admin/invites/:id":         {},
			"GET /api/admin/audit":                  {},
			"GET /api/admin/owners":                 {},
			"POST /api/admin/pins/adopt":            {query: "from=" + sampleID + "&to=" + email},
			"DELETE /api/admin/pins":                {query: "account=" + email},
			"GET /api/admin/store/stats":            {},
			"GET /api/admin/store/runs":             {static: true},
			"POST /api/admin/store/runs":            {body: `{"kind":"reclaim"}`, static: true},
			"DELETE /api/admin/store/runs/:id":      {static: true},
			"GET /api/admin/history":                {static: true},
			"POST /api/admin/store/reclaim":         {lines: true},
			"POST /api/admin/store/verify":          {lines: true},
			"POST /api/admin/store/backup":          {body: `{"to":"/x"}`, lines: true},
			"POST /api/admin/store/restore":         {body: `{"from":"/x"}`, lines: true},
			"GET /api/admin/cluster":                {static: true}, // there is none
			"POST /api/admin/cluster/check":         {static: true},
			"POST /api/admin/cluster/drain":         {static: true},
			"POST /api/admin/cluster/import":        {static: true},
			"POST /api/psa/pins/:requestid/retry":   {},
		}),
		"gateway": {
			"GET /*": {query: "format=raw"},
			// Boxo refuses these before anything is read.
			"POST /*": {static: true}, "PUT /*": {static: true}, "PATCH /*": {static: true}, "DELETE /*": {static: true},
			"OPTIONS /*": {static: true}, "CONNECT /*": {static: true}, "TRACE /*": {static: true},
			"PROPFIND /*": {static: true}, "REPORT /*": {static: true},
		},
		"metrics": {
			"GET /metrics": {faultIs: http.StatusOK, bare: true}, // the rest is told, and holdfast_ready is 0
			"GET /healthz": {faultIs: http.StatusServiceUnavailable},
			"GET /readyz":  {faultIs: http.StatusServiceUnavailable},
		},
	}
}
