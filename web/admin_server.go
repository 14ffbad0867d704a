package web

import (
	"net/http"

	"github.com/holdfast-ipfs/holdfast/admin"
)

// serverBody is what the page of the server shows.
type serverBody struct {
	Delegates []string
}

func (u *UI) serverPage(c *call) error {
	return c.render("server.html", "Server", serverBody{Delegates: u.Delegates()})
}

// serverHistory gives the plots their samples.
func (u *UI) serverHistory(c *call) error {
	var all struct {
		Samples []admin.Sample `json:"samples"`
	}
	of := "hour"
	if c.QueryParam("of") == "day" {
		of = "day"
	}
	if err := c.api(http.MethodGet, admin.HistoryPath+"?of="+of, nil, &all); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, all)
}
