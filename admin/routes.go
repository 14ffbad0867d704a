package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// Base is the path above all routes of the API.
const Base = "/api/admin"

// Paths of the API.
const (
	AccountsPath  = Base + "/accounts"
	InvitesPath   = Base + "/invites"
	AuditPath     = Base + "/audit"
	StatsPath     = Base + "/store/stats"
	RunsPath      = Base + "/store/runs"
	HistoryPath   = Base + "/history"
	ConditionPath = Base + "/server/condition"
	OwnersPath    = Base + "/owners"

	serverPath  = Base + "/server"
	supportPath = Base + "/server/support"

	accountPath = AccountsPath + "/:id"
	tokenPath   = Base + "/tokens/:id"
	keysPath    = Base + "/keys/rotate"
	reclaimPath = Base + "/store/reclaim"
	backupPath  = Base + "/store/backup"
	restorePath = Base + "/store/restore"
	verifyPath  = Base + "/store/verify"
	pinsPath    = Base + "/pins"
	adoptPath   = Base + "/pins/adopt"
)

// Callers says who may call a route.
type Callers uint8

const (
	// BySocket: callers on the socket in the data directory. They are the operator of the
	// host, who may do everything and may act as any account.
	BySocket Callers = 1 << iota
	// ByToken: callers over TCP with the token of an admin, of [auth.ScopeAdmin]. They may
	// not call routes by which an admin could act as another account, or as the operator
	// of the host. There is one exception: a new password for another account. That also
	// needs the present password of the admin, so that a stolen token is not enough, and
	// the audit record says which admin did it.
	ByToken
)

// route is one method of one path.
type route struct {
	callers      Callers
	method, path string
	serve        func(handlers, echo.Context) error
}

// routes is the table of the API. The socket also has the PSA under /api/psa, for the account
// that the header [userHeader] names.
var routes = []route{
	{BySocket, http.MethodGet, serverPath, handlers.server},
	{BySocket | ByToken, http.MethodGet, ConditionPath, handlers.condition},
	{BySocket, http.MethodGet, supportPath, handlers.support},

	{BySocket | ByToken, http.MethodGet, AccountsPath, handlers.listAccounts},
	{BySocket | ByToken, http.MethodPost, AccountsPath, handlers.addAccount},
	{BySocket | ByToken, http.MethodGet, accountPath, handlers.getAccount},
	{BySocket | ByToken, http.MethodDelete, accountPath, handlers.removeAccount},
	{BySocket | ByToken, http.MethodPost, accountPath + "/quota", handlers.setQuota},
	{BySocket | ByToken, http.MethodPost, accountPath + "/disable", handlers.disable},
	{BySocket | ByToken, http.MethodPost, accountPath + "/enable", handlers.enable},
	{BySocket | ByToken, http.MethodPost, accountPath + "/role", handlers.setRole},
	{BySocket | ByToken, http.MethodPost, accountPath + "/password", handlers.setPassword},
	{BySocket | ByToken, http.MethodGet, accountPath + "/pins", handlers.listPins},
	{BySocket, http.MethodGet, accountPath + "/tokens", handlers.listTokens},
	{BySocket, http.MethodPost, accountPath + "/tokens", handlers.createToken},
	{BySocket, http.MethodDelete, tokenPath, handlers.revokeToken},
	{BySocket, http.MethodPost, keysPath, handlers.rotateKeys},

	{BySocket | ByToken, http.MethodGet, InvitesPath, handlers.listInvites},
	{BySocket | ByToken, http.MethodPost, InvitesPath, handlers.addInvite},
	{BySocket | ByToken, http.MethodDelete, InvitesPath + "/:id", handlers.revokeInvite},

	{BySocket | ByToken, http.MethodGet, AuditPath, handlers.audit},

	{BySocket | ByToken, http.MethodGet, StatsPath, handlers.stats},
	{BySocket | ByToken, http.MethodGet, RunsPath, handlers.listRuns},
	{BySocket | ByToken, http.MethodPost, RunsPath, handlers.beginRun},
	{BySocket | ByToken, http.MethodDelete, RunsPath + "/:id", handlers.endRun},
	{BySocket | ByToken, http.MethodGet, HistoryPath, handlers.history},
	{BySocket, http.MethodPost, reclaimPath, handlers.reclaim},
	{BySocket, http.MethodPost, verifyPath, handlers.verify},
	{BySocket, http.MethodPost, backupPath, handlers.backup},
	{BySocket, http.MethodPost, restorePath, handlers.restore},

	{BySocket, http.MethodGet, clusterPath, handlers.clusterState},
	{BySocket, http.MethodPost, clusterCheckPath, handlers.clusterCheck},
	{BySocket, http.MethodPost, clusterDrainPath, handlers.clusterDrain},
	{BySocket, http.MethodPost, clusterImportPath, handlers.clusterImport},

	{BySocket | ByToken, http.MethodGet, OwnersPath, handlers.listOwners},
	{BySocket, http.MethodDelete, pinsPath, handlers.removePins},
	{BySocket, http.MethodPost, adoptPath, handlers.adoptPins},
}

// handlers serve the API to one kind of callers.
type handlers struct {
	*Server
	by Callers
}

// Register adds the routes for callers with a token to e. Errors are answered as
// [authhttp.Register] does it.
func (s *Server) Register(e *echo.Echo) {
	h := handlers{s, ByToken}
	var open []authhttp.Route
	for _, r := range routes {
		if r.callers&ByToken != 0 {
			open = append(open, authhttp.Route{
				Method: r.method, Path: r.path,
				Serve: func(c echo.Context) error { return r.serve(h, c) },
				Guard: func(_ echo.Context, p auth.Principal) error { return p.RequireAdmin() },
			})
		}
	}
	authhttp.Mount(e, s.Auth, s.Log, Base, open)
}
