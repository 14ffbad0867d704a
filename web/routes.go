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
}

// home leads to what people come for.
func (u *UI) home(c *call) error { return c.seeOther(pinsPath) }
