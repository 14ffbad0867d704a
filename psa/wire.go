package psa

import (
	"github.com/holdfast-ipfs/holdfast/pin"
)

// createdLayout is RFC 3339 in UTC with milliseconds. This is the precision of created, and
// all that JavaScript keeps.
const createdLayout = "2006-01-02T15:04:05.000Z"

// maxDelegates is the spec's limit of the delegates of a PinStatus.
const maxDelegates = 20

// Pin is the spec's Pin object, as it is sent.
type Pin struct {
	CID     string            `json:"cid"` // as the client wrote it
	Name    string            `json:"name,omitempty"`
	Origins []string          `json:"origins,omitempty"`
	Meta    map[string]string `json:"meta,omitempty"`
}

// PinStatus is the spec's PinStatus object. Make one with [NewPinStatus].
type PinStatus struct {
	RequestID string            `json:"requestid"`
	Status    pin.Status        `json:"status"`
	Created   string            `json:"created"` // RFC 3339, UTC, milliseconds
	Pin       Pin               `json:"pin"`
	Delegates []string          `json:"delegates"` // 1 to 20
	Info      map[string]string `json:"info,omitempty"`
}

// PinResults is the spec's PinResults object.
type PinResults struct {
	Count   int         `json:"count"`   // of all requests that match, also those on other pages
	Results []PinStatus `json:"results"` // never null
}

// Failure is the spec's Failure object.
type Failure struct {
	Error FailureError `json:"error"`
}

// FailureError says what went wrong.
type FailureError struct {
	Reason  string `json:"reason"`            // for machines, such as NOT_FOUND
	Details string `json:"details,omitempty"` // for people
}

// NewPinStatus returns the PinStatus of v. The delegates come best first, and those beyond
// the spec's 20 are left out. The result shares the maps and slices of v.
func NewPinStatus(v pin.View, delegates []string) PinStatus {
	return PinStatus{
		RequestID: v.ID,
		Status:    v.Status,
		Created:   v.Created.UTC().Format(createdLayout),
		Pin: Pin{
			CID:     v.CID,
			Name:    v.Name,
			Origins: v.Addresses(),
			Meta:    v.Meta,
		},
		Delegates: delegates[:min(len(delegates), maxDelegates)],
		Info:      v.Info,
	}
}

// NewPinResults returns the PinResults of a page.
func NewPinResults(p pin.ViewPage, delegates []string) PinResults {
	results := make([]PinStatus, len(p.Views))
	for i, v := range p.Views {
		results[i] = NewPinStatus(v, delegates)
	}
	return PinResults{Count: p.Count, Results: results}
}
