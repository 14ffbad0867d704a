package web

import (
	"net/http"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Paths that several files name.
const (
	pinsPath    = Base + "/pins"
	addPath     = Base + "/add"
	connectPath = Base + "/connect"
	accountPath = Base + "/account"
	signInPath  = Base + "/signin"
	setupPath   = Base + "/setup"
)

// route is one method of one path below [Base], and whom it is for.
type route struct {
	method, path string
	scope        auth.Scope // that a session needs
	admin        bool       // its account must be an admin
	open         bool       // it needs no session
	changes      bool       // it changes the account itself, which is limited
	upload       bool       // its body may be of any size; others take forms
	handler      func(*UI, *call) error
}

// routes is the table of the pages.
var routes = []route{
	{method: http.MethodGet, path: "", scope: auth.ScopeRead, handler: (*UI).home},
	{method: http.MethodGet, path: "/signin", open: true, handler: (*UI).signInPage},
	{method: http.MethodPost, path: "/signin", open: true, handler: (*UI).signIn},
	{method: http.MethodPost, path: "/signout", open: true, handler: (*UI).signOut},
	{method: http.MethodGet, path: "/setup", open: true, handler: (*UI).setupPage},
	{method: http.MethodPost, path: "/setup", open: true, handler: (*UI).setUp},

	{method: http.MethodGet, path: "/pins", scope: auth.ScopeRead, handler: (*UI).pins},
	{method: http.MethodGet, path: "/pins/live", scope: auth.ScopeRead, handler: (*UI).livePins},
	{method: http.MethodGet, path: "/pins/remove", scope: auth.ScopePin, handler: (*UI).removePage},
	{method: http.MethodPost, path: "/pins/remove", scope: auth.ScopePin, handler: (*UI).remove},
	{method: http.MethodPost, path: "/pins/undo", scope: auth.ScopePin, handler: (*UI).undo},
	{method: http.MethodPost, path: "/pins/retry", scope: auth.ScopePin, handler: (*UI).retry},
	{method: http.MethodGet, path: "/pins/:id", scope: auth.ScopeRead, handler: (*UI).pinPage},
	{method: http.MethodGet, path: "/pins/:id/live", scope: auth.ScopeRead, handler: (*UI).livePin},
	{method: http.MethodGet, path: "/pins/:id/edit", scope: auth.ScopePin, handler: (*UI).editPage},
	{method: http.MethodPost, path: "/pins/:id/edit", scope: auth.ScopePin, handler: (*UI).edit},
	{method: http.MethodGet, path: "/pins/:id/files", scope: auth.ScopeRead, handler: (*UI).files},
	{method: http.MethodGet, path: "/pins/:id/file", scope: auth.ScopeRead, handler: (*UI).filePage},
	{method: http.MethodGet, path: "/pins/:id/preview", scope: auth.ScopeRead, handler: (*UI).preview},
	{method: http.MethodGet, path: "/pins/:id/download", scope: auth.ScopeRead, handler: (*UI).download},
	{method: http.MethodGet, path: "/add", scope: auth.ScopePin, handler: (*UI).addPage},
	{method: http.MethodPost, path: "/add", scope: auth.ScopePin, handler: (*UI).add},
	{method: http.MethodPost, path: "/upload", scope: auth.ScopePin, upload: true, handler: (*UI).upload},

	{method: http.MethodGet, path: "/connect", scope: auth.ScopeAdmin, handler: (*UI).connectPage},
	{method: http.MethodPost, path: "/connect", scope: auth.ScopeAdmin, changes: true, handler: (*UI).makeToken},
	{method: http.MethodGet, path: "/tokens/:id/revoke", scope: auth.ScopeAdmin, handler: (*UI).revokePage},
	{method: http.MethodPost, path: "/tokens/:id/revoke", scope: auth.ScopeAdmin, changes: true, handler: (*UI).revoke},

	{method: http.MethodGet, path: "/account", scope: auth.ScopeRead, handler: (*UI).accountPage},
	{method: http.MethodPost, path: "/account/password", scope: auth.ScopeAdmin, changes: true, handler: (*UI).newPassword},
	{method: http.MethodPost, path: "/account/signout-all", scope: auth.ScopeAdmin, changes: true, handler: (*UI).signOutAll},
}

// menuItem is a page in the menu.
type menuItem struct {
	Name, Path string
	scope      auth.Scope
	admin      bool
}

// menu is in the order in which it is shown.
var menu = []menuItem{
	{Name: "Pins", Path: pinsPath, scope: auth.ScopeRead},
	{Name: "Add", Path: addPath, scope: auth.ScopePin},
	{Name: "Connect", Path: connectPath, scope: auth.ScopeAdmin},
	{Name: "Account", Path: accountPath, scope: auth.ScopeRead},
}

// home leads to what people come for.
func (u *UI) home(c *call) error { return c.seeOther(pinsPath) }
