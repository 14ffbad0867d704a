package web

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// pinForm is a pin as a form has it. It keeps what was typed.
type pinForm struct {
	ID      string // of the pin that is changed; "" for a new one
	CID     string
	Name    string
	Origins string // one on each line
	Meta    string // KEY=VALUE on each line
	Key     string // one form makes one pin, however often it is sent
}

func readPinForm(c *call) pinForm {
	return pinForm{
		CID: c.FormValue("cid"), Name: c.field("name"), Origins: c.FormValue("origins"), Meta: c.FormValue("meta"), Key: c.FormValue("key"),
	}
}

// formOf is the form of a pin as it is.
func formOf(v pin.View) pinForm {
	var meta []string
	for _, k := range slices.Sorted(maps.Keys(v.Meta)) {
		meta = append(meta, k+"="+v.Meta[k])
	}
	return pinForm{ID: v.ID, CID: v.CID, Name: v.Name, Origins: strings.Join(v.Origins, "\n"), Meta: strings.Join(meta, "\n"), Key: rand.Text()}
}

// spec reads the form as the Pinning Services API would read its values.
// Errors: *pin.InvalidError.
func (f pinForm) spec(from netip.Addr) (pin.Spec, error) {
	cid, err := psa.FindCID(f.CID)
	if err != nil {
		return pin.Spec{}, err
	}
	meta, err := readPairs(f.Meta, "\n")
	if err != nil {
		return pin.Spec{}, err
	}
	s, err := psa.ReadPin(psa.Pin{CID: cid, Name: f.Name, Origins: strings.Fields(f.Origins), Meta: meta}, from)
	s.IdempotencyKey = f.Key
	return s, err
}

// once makes a pin by its form. A form that was sent before and has other values now, or whose pin is gone,
// makes another.
func (f pinForm) once(s pin.Spec, do func(pin.Spec) (pin.View, error)) (pin.View, error) {
	v, err := do(s)
	if errors.Is(err, pin.ErrKeyReused) || errors.Is(err, pin.ErrKeyGone) {
		s.IdempotencyKey = ""
		v, err = do(s)
	}
	return v, err
}

func (u *UI) addPage(c *call) error {
	form := newPinForm()
	form.CID, form.Name = c.QueryParam("cid"), c.QueryParam("name")
	return c.render("add.html", "Add a pin", form)
}

func newPinForm() pinForm { return pinForm{Key: rand.Text()} }

func (u *UI) add(c *call) error {
	form := readPinForm(c)
	v, err := u.addPin(c, form)
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return c.render("add.html", "Add a pin", form)
	}
	return c.done("added", pinsPath+"/"+v.ID)
}

func (u *UI) addPin(c *call, form pinForm) (pin.View, error) {
	s, err := form.spec(u.Requester(c.Request()))
	if err != nil {
		return pin.View{}, err
	}
	return form.once(s, func(s pin.Spec) (pin.View, error) { return u.Pins.Add(c.ctx, c.me.Account, s) })
}

// editPage and edit change a pin: another name, or another CID in its place.
func (u *UI) editPage(c *call) error {
	v, err := u.pin(c)
	if err != nil {
		return err
	}
	return c.render("edit.html", "Change a pin", formOf(v))
}

func (u *UI) edit(c *call) error {
	form := readPinForm(c)
	form.ID = c.Param("id")
	if _, err := u.pin(c); err != nil {
		return err
	}
	v, err := u.replacePin(c, form)
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return c.render("edit.html", "Change a pin", form)
	}
	return c.done("changed", pinsPath+"/"+v.ID)
}

func (u *UI) replacePin(c *call, form pinForm) (pin.View, error) {
	s, err := form.spec(u.Requester(c.Request()))
	if err != nil {
		return pin.View{}, err
	}
	return form.once(s, func(s pin.Spec) (pin.View, error) { return u.Pins.Replace(c.ctx, c.me.Account, form.ID, s) })
}
