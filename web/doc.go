// Package web is the dashboard: pages for people who pin, and for admins. It is served below
// [Base], by the same server as the APIs.
//
// # How a page is made
//
// Pages are HTML, rendered by html/template from the files in templates/. All of it works
// without script. htmx replaces parts of a page in place of the whole, and one stream of
// server-sent events keeps what moves up to date (live.go and static/app.js). There is one
// style sheet, static/style.css, with light and dark colours. Nothing is built, and nothing
// comes from another host.
//
// A new page is a row in a table of routes (routes.go), a handler, and a template:
//
//   - The row has the method, the path below [Base], the handler, and whom it is for: the scope
//     that a session needs, and whether its account must be an admin.
//   - The handler is a method of ui that gets a [call]: the request, and who made it. It ends
//     with call.render, which takes the name of a template and the page's own data, or with
//     call.seeOther after a change, or returns an error. Errors become a page with the right status,
//     and causes that nobody may see are logged once (errors.go). A form whose values are wrong is
//     rendered again by its own handler, with what was typed, and with call.problem to say
//     what is wrong.
//   - The template defines "main". It may use the functions in templates.go and the parts in
//     templates/parts.html: a CID, a time, a size, a field of a form.
//   - The menu is the table menu in routes.go.
//
// What has no service of its own here, such as the operator's API, is called by call.api: as a
// client would, with the token of the session.
//
// A link that asks before something is done leads to a page with the question. With htmx it
// opens in a dialog: class="ask" on a link, and call.render with the template's "main" alone
// for requests that htmx made (call.part).
//
// # Who may do what
//
// A browser has a session of package auth: its access token is in a cookie that no script can
// read. So a session is listed, revoked and limited like those of other clients. Nothing that
// comes from another origin can make a change (http.CrossOriginProtection). The pages
// have a strict Content-Security-Policy, so neither a name nor a file can run anything. Package
// web does nothing that an API cannot do with the same token. What it shows of the content of
// a pin it gets from Kubo's RPC, with the token of the session.
//
// # Files
//
// One for each page, named for it: those of admins begin with admin_. What all pages share is in
// call.go, errors.go, templates.go, live.go and api.go.
package web
