package web

import (
	"net/http"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// serverBody is what the page of the server shows.
type serverBody struct {
	Is       admin.Condition
	Warnings []warning
}

// warning is what an admin should know, and what to do about it.
type warning struct {
	Text, Do string
	Bad      bool // something is lost or refused already
}

const (
	// settleTime is how long after a start other nodes may need to say whether they reach this one.
	settleTime = 15 * time.Minute
	// lateAnnouncing is how late the renewal of announcements may be. Records last a day longer.
	lateAnnouncing = time.Hour
)

// warnings are the worst first.
func warnings(is admin.Condition) (all []warning) {
	bad := func(text, do string) { all = append(all, warning{text, do, true}) }
	mind := func(text, do string) { all = append(all, warning{text, do, false}) }
	const verify = "Check every block on the page of the store; restore a backup if much is damaged."
	if is.Damage != "" {
		bad("The database is damaged: "+is.Damage, verify)
	}
	if is.Unready != "" {
		bad("It takes no new pins: "+is.Unready, "The server’s log says more.")
	}
	if is.DamagedFiles > 0 {
		bad(text.Counted(is.DamagedFiles, "file")+" of the database cannot be read completely.", verify)
	}
	if is.UnreadableBlocks > 0 {
		bad(text.Counted(is.UnreadableBlocks, "block")+" could not be read since the start.", verify)
	}
	if b := is.Backup; b != nil && b.Failed {
		bad("The last backup failed.", "The server’s log says why.")
	}
	if is.Unready == "" && is.Free < 2*is.KeptFree {
		mind(text.RoughSize(is.Free)+" of the disk are free, and below "+text.RoughSize(is.KeptFree)+" nothing new is stored.", "Remove pins and give space back, or make the disk larger.")
	}
	switch b := is.Backup; {
	case b == nil:
		mind("No backups are made.", "Set backup.to, so that a lost disk is not the end of what is pinned here.")
	case b.Failed:
	case b.Old && b.Last.IsZero():
		mind("No backup has come to its end.", "Look whether its place, backup.to, takes what is written. The server’s log says more.")
	case b.Old:
		mind("The newest backup is older than three times backup.every.", "The server’s log says more.")
	}
	n := is.Network
	settled := is.Now.Sub(is.Started) > settleTime
	const open = "Open the ports of node.listen, TCP and UDP, in the firewall, and forward them in the router."
	switch {
	case !n.Asked || len(n.Reached) > 0:
	case n.Relayed:
		mind("Other nodes reach this one through relays alone, which is slow and carries no blocks.", open)
	case len(n.NotReached) > 0:
		mind("Other nodes do not reach this one.", open)
	case settled && n.Peers == 0:
		mind("The node has no peers.", "Look whether the host reaches the internet, and at node.bootstrap.")
	}
	if a := is.Announcing; a != nil {
		switch {
		case a.Online && a.NoAddress && settled:
			mind("Nothing is announced: the node has no address where others could reach it.", open)
		case a.Late > lateAnnouncing:
			mind("Announcements are renewed "+roughly(a.Late)+" too late.", "With very many files, provide.strategy = \"roots\" announces less.")
		}
	}
	if is.ClockOff {
		mind("Nothing keeps the clock of the host right.", "Run a service for NTP.")
	}
	return all
}

// condition reads how the server is.
func (c *call) condition() (is admin.Condition, err error) {
	err = c.api(http.MethodGet, admin.ConditionPath, nil, &is)
	return is, err
}

func (u *UI) serverPage(c *call) error {
	is, err := c.condition()
	if err != nil {
		return err
	}
	return c.render("server.html", "Server", serverBody{is, warnings(is)})
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
