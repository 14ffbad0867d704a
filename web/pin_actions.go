package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// maxSelected is how many pins one form may name: those of the longest page.
const maxSelected = 100

var (
	errNoneSelected = &failure{http.StatusBadRequest, "no pin is selected: select some in the list first"}
	errTooMany      = &failure{http.StatusBadRequest, "more than 100 pins at once; select those of one page"}
	errTooLate      = &failure{http.StatusGone, "it is too late to undo this: the pins are removed. What they held may still be on the server's disk for a while, " +
		"so pinning the same CIDs again soon may be quick"}
)

// isID reports whether a text can be the ID of a pin. Anything else names nothing.
func isID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}

// pin reads the pin that the path names.
func (u *UI) pin(c *call) (pin.View, error) {
	id := c.Param("id")
	if !isID(id) {
		return pin.View{}, pin.ErrNotFound
	}
	return u.Pins.Get(c.ctx, c.me.Account, id)
}

// selected reads the pins of the account that a form names.
func (u *UI) selected(c *call) (views []pin.View, err error) {
	if err := c.Request().ParseForm(); err != nil {
		return nil, &failure{http.StatusBadRequest, "the form cannot be read"}
	}
	ids := c.Request().Form["id"]
	switch {
	case len(ids) == 0:
		return nil, errNoneSelected
	case len(ids) > maxSelected:
		return nil, errTooMany
	}
	for _, id := range ids {
		if !isID(id) {
			continue
		}
		v, err := u.Pins.Get(c.ctx, c.me.Account, id)
		switch {
		case errors.Is(err, pin.ErrNotFound): // removed meanwhile, or not of this account
		case err != nil:
			return nil, err
		default:
			views = append(views, v)
		}
	}
	if len(views) == 0 {
		return nil, pin.ErrNotFound
	}
	return views, nil
}

// removal question.
type removeForm struct {
	Pins []row
	Back string // where a cancel leads to
}

// back is the page that a form came from: the list as it was, or a pin.
func back(c *call) string {
	if q := c.FormValue("back"); q != "" {
		_, q, _ = strings.Cut("?"+strings.TrimPrefix(q, pinsPath), "?")
		return samePage(strings.TrimPrefix(q, "?"))
	}
	return pinsPath
}

// removePage asks before pins are removed.
func (u *UI) removePage(c *call) error {
	views, err := u.selected(c)
	if err != nil {
		return err
	}
	form := removeForm{Back: back(c)}
	for _, v := range views {
		form.Pins = append(form.Pins, rowOf(v, nil))
	}
	if c.isPart() {
		return c.part("remove.html", "question", form)
	}
	return c.render("remove.html", "Remove pins", form)
}

// remove removes pins, after the time in which that can be undone.
func (u *UI) remove(c *call) error {
	views, err := u.selected(c)
	if err != nil {
		return err
	}
	ids := make([]string, len(views))
	for i, v := range views {
		ids[i] = v.ID
	}
	name := ""
	if len(views) == 1 {
		name = views[0].Name
	}
	if err := u.removed.add(c.ctx, c.me.Account, name, ids); err != nil {
		return err
	}
	return c.seeOther(back(c))
}

// undo keeps pins that were about to be removed.
func (u *UI) undo(c *call) error {
	if !u.removed.undo(c.me.Account, c.FormValue("id")) {
		return errTooLate
	}
	return c.done("undone", pinsPath)
}

// retry tries failed pins again. Pins that have not failed stay as they are.
func (u *UI) retry(c *call) error {
	views, err := u.selected(c)
	if err != nil {
		return err
	}
	tried := 0
	for _, v := range views {
		_, err := u.Pins.Retry(c.ctx, c.me.Account, v.ID)
		switch {
		case errors.Is(err, pin.ErrNotFailed), errors.Is(err, pin.ErrNotFound):
		case err != nil:
			return err
		default:
			tried++
		}
	}
	to := back(c)
	if len(views) == 1 {
		to = pinsPath + "/" + views[0].ID
	}
	if tried == 0 {
		return c.done("nothing-failed", to)
	}
	return c.done("retried", to)
}
