package web

import (
	"net/http"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Paths of the admins' pages, and of the page for whoever has an invitation.
const (
	serverPath   = Base + "/server"
	accountsPath = Base + "/accounts"
	auditPath    = Base + "/audit"
	storePath    = Base + "/store"
	joinPath     = Base + "/join"
)

// adminRoutes is the table of the pages for admins. Each does what the operator's API does.
var adminRoutes = []route{
	adminRoute(http.MethodGet, "/server", (*UI).serverPage),
	adminRoute(http.MethodGet, "/server/history", (*UI).serverHistory),

	adminRoute(http.MethodGet, "/accounts", (*UI).accountsPage),
	adminRoute(http.MethodPost, "/accounts", (*UI).addAccount),
	adminRoute(http.MethodPost, "/accounts/invite", (*UI).invite),
	adminRoute(http.MethodPost, "/accounts/invites/:id/revoke", (*UI).revokeInvite),
	adminRoute(http.MethodGet, "/accounts/:id", (*UI).oneAccountPage),
	adminRoute(http.MethodPost, "/accounts/:id/quota", (*UI).setQuota),
	adminRoute(http.MethodPost, "/accounts/:id/password", (*UI).setPassword),
	adminRoute(http.MethodPost, "/accounts/:id/:what", (*UI).changeAccount),
	adminRoute(http.MethodGet, "/accounts/:id/remove", (*UI).removeAccountPage),
	adminRoute(http.MethodPost, "/accounts/:id/remove", (*UI).removeAccount),

	adminRoute(http.MethodGet, "/audit", (*UI).auditPage),

	adminRoute(http.MethodGet, "/store", (*UI).storePage),
	adminRoute(http.MethodGet, "/store/live", (*UI).liveStore),
	adminRoute(http.MethodPost, "/store/runs", (*UI).beginRun),
	adminRoute(http.MethodPost, "/store/runs/:id/end", (*UI).endRun),

	{method: http.MethodGet, path: "/join", open: true, handler: (*UI).joinPage},
	{method: http.MethodPost, path: "/join", open: true, handler: (*UI).join},
}

func adminRoute(method, path string, h func(*UI, *call) error) route {
	return route{method: method, path: path, scope: auth.ScopeAdmin, admin: true, handler: h}
}

// adminMenu follows the menu of everybody.
var adminMenu = []menuItem{
	{Name: "Accounts", Path: accountsPath, scope: auth.ScopeAdmin, admin: true},
	{Name: "Audit", Path: auditPath, scope: auth.ScopeAdmin, admin: true},
	{Name: "Store", Path: storePath, scope: auth.ScopeAdmin, admin: true},
	{Name: "Server", Path: serverPath, scope: auth.ScopeAdmin, admin: true},
}
