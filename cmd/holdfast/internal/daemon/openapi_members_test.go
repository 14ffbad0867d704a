package daemon

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/ipfs/go-cid"

	adminapi "github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// No object is described without its members: generators make a map of anything of such a one.
func TestOpenAPINamesMembers(t *testing.T) {
	doc := loadOpenAPI(t)
	seen := map[*openapi3.Schema]bool{}
	var look func(where string, ref *openapi3.SchemaRef)
	look = func(where string, ref *openapi3.SchemaRef) {
		if ref == nil || seen[ref.Value] {
			return
		}
		s := ref.Value
		seen[s] = true
		if any := s.AdditionalProperties.Has; any != nil && *any {
			t.Errorf("%s may have any members", where)
		}
		for name, member := range s.Properties {
			look(where+"."+name, member)
		}
		look(where+"[]", s.Items)
		look(where+"{}", s.AdditionalProperties.Schema)
	}
	for name, s := range doc.Components.Schemas {
		look(name, s)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status, res := range op.Responses.Map() {
				for _, media := range res.Value.Content {
					look(method+" "+path+" "+status, media.Schema)
				}
			}
		}
	}
}

// What a server seldom says is described: damage, the ends of runs, backups. With everything set, a
// value has exactly the members that are described; with nothing set it has those that are required.
func TestOpenAPIHasWhatIsSeldomSaid(t *testing.T) {
	const id, root = "0199a0b4-0000-7000-8000-000000000001", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	records := adminapi.DamagedRecords{BadRecords: 1, Records: []adminapi.DamagedRecord{
		{Kind: "pin", Key: "0a", Account: id, RequestID: id, CID: root, Token: id},
	}}
	requests := map[pin.Status]uint64{}
	for _, s := range pin.Statuses() {
		requests[s] = 1
	}
	failure := authhttp.NewFailure(500, "the disk is gone")
	type stats struct {
		Status string `json:"status"`
		adminapi.StoreStats
	}
	for name, v := range map[string]struct{ full, empty any }{
		"StoreStats": {
			full:  stats{"success", adminapi.StoreStats{Unreadable: []cid.Cid{cid.MustParse(root)}, Requests: requests, DamagedRecords: records}},
			empty: stats{"success", adminapi.StoreStats{Requests: requests}},
		},
		"Run": {
			full: adminapi.Run{
				ID: id, Kind: adminapi.RunRepair, By: id, Began: now, Ended: now, Repairing: []string{root},
				Damage: []adminapi.Damage{{CID: root, Kind: "corrupt", DAGs: []adminapi.HurtDAG{
					{CID: root, Pins: []adminapi.HurtPin{{RequestID: id, Name: "a name", User: "user@example.org"}}},
				}}},
				Reclaimed: &adminapi.Reclaimed{}, Verified: &adminapi.VerifyReport{DamagedRecords: records}, Failure: &failure,
			},
			empty: adminapi.Run{ID: id, Kind: adminapi.RunReclaim, Began: now, Damage: []adminapi.Damage{}, Repairing: []string{}},
		},
		"Sample": {full: adminapi.Sample{Time: now}, empty: adminapi.Sample{}},
		"Condition": {
			full: adminapi.Condition{
				Started: now, Now: now, Unready: "the disk is full", Damage: "a table is gone",
				Network: adminapi.NetworkCondition{
					Addresses: []string{"a"}, Reached: []string{"a"}, NotReached: []string{"b"}, Unknown: []string{"c"},
				},
				Announcing: &adminapi.AnnouncingCondition{Strategy: "roots", Last: now, Oldest: now},
				Backup:     &adminapi.BackupCondition{Last: now},
			},
			empty: adminapi.Condition{
				Network:    adminapi.NetworkCondition{Addresses: []string{}},
				Announcing: &adminapi.AnnouncingCondition{Strategy: "all"}, Backup: &adminapi.BackupCondition{},
			},
		},
	} {
		schema := loadOpenAPI(t).Components.Schemas[name].Value
		sameMembers(t, name, schema, plain(t, v.full))
		for _, value := range []any{v.full, v.empty} {
			if err := schema.VisitJSON(plain(t, value)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// plain is what a reader of the JSON of a value has.
func plain(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// sameMembers compares the members of a value, and of what is in it, with those that are described.
func sameMembers(t *testing.T, where string, s *openapi3.Schema, value any) {
	t.Helper()
	switch v := value.(type) {
	case object:
		described := slices.Sorted(maps.Keys(s.Properties))
		if has := slices.Sorted(maps.Keys(v)); !slices.Equal(has, described) {
			t.Errorf("%s has %q, and %q are described", where, has, described)
			return
		}
		for name, member := range v {
			sameMembers(t, where+"."+name, s.Properties[name].Value, member)
		}
	case []any:
		for _, one := range v {
			sameMembers(t, where+"[]", s.Items.Value, one)
		}
	}
}
