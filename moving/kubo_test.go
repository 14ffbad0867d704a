package moving

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// node is a Kubo: its answers by command and type of pins, and how often each was asked for.
type node struct {
	answers map[string][]func(http.ResponseWriter, *http.Request) bool
	asked   map[string]int
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/api/v0/")
	if kind := r.URL.Query().Get("type"); kind != "" {
		name += " " + kind
	}
	list := n.answers[name]
	if r.Method != http.MethodPost || len(list) == 0 {
		http.NotFound(w, r)
		return
	}
	i := n.asked[name]
	n.asked[name]++
	list[min(i, len(list)-1)](w, r)
}

func newNode() *node {
	one := func(f func(http.ResponseWriter, *http.Request) bool) []func(http.ResponseWriter, *http.Request) bool {
		return []func(http.ResponseWriter, *http.Request) bool{f}
	}
	return &node{map[string][]func(http.ResponseWriter, *http.Request) bool{
		"id": one(body(`{"ID":"` + peerID + `","Addresses":["/ip4/127.0.0.1/tcp/4001/p2p/` + peerID + `","/ip4/192.168.1.2/tcp/4001/p2p/` + peerID +
			`","/ip4/9.9.9.9/tcp/4001/p2p/` + peerID + `","/ip4/9.9.9.9/tcp/4001","nonsense"]}`)),
		"pin/ls recursive": one(body(`{"Cid":"` + cidOf(1) + `","Name":"ünd \"so\"","Type":"recursive"}` + "\n" + `{"Cid":"` + dirCID + `","Type":"recursive"}` + "\n")),
		"pin/ls direct":    one(body(`{"Cid":"` + cidOf(2) + `","Type":"direct"}` + "\n" + `{"Cid":"` + dirCID + `","Type":"direct"}` + "\n")),
		"refs":             one(body(`{"Ref":"` + cidOf(3) + `","Err":""}` + "\n")),
	}, map[string]int{}}
}

const (
	peerID = "12D3KooWJEfH2MB4RsUoaJPogDPRWbFTi8iehsxsqrQpiJwFNDrP"
	dirCID = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
)

func (n *node) client(t *testing.T) *Kubo {
	t.Helper()
	k, err := NewKubo(Server{URL: "http://127.0.0.1:5001", Transport: direct{n}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKuboPins(t *testing.T) {
	got, err := all(t, newNode().client(t))
	if err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	if got[0].Name != `ünd "so"` || got[0].CID != cidOf(1) || got[1].CID != dirCID || got[1].LeftOut != "" {
		t.Errorf("recursive: %v", got[:2])
	}
	if got[2].CID != cidOf(2) || got[2].LeftOut != "" || got[3].LeftOut != directOnly {
		t.Errorf("direct: %v", got[2:])
	}
	if want := "[/ip4/9.9.9.9/tcp/4001/p2p/" + peerID + " /ip4/192.168.1.2/tcp/4001/p2p/" + peerID + " /ip4/127.0.0.1/tcp/4001/p2p/" + peerID + "]"; fmt.Sprint(got[0].Origins) != want {
		t.Errorf("origins %v, want %s", got[0].Origins, want)
	}

	// A block without links is the same either way; one that cannot be read is not.
	n := newNode()
	n.answers["refs"][0] = body("")
	if got, err := all(t, n.client(t)); err != nil || got[3].LeftOut != "" {
		t.Errorf("without links: %v, %v", got, err)
	}
	n.answers["refs"][0] = status(400)
	if got, err := all(t, n.client(t)); err != nil || got[3].LeftOut != directOnly {
		t.Errorf("not there: %v, %v", got, err)
	}
}

// A list of Kubo's that breaks off is read again, and nothing is listed twice.
func TestKuboListBreaks(t *testing.T) {
	first := `{"Cid":"` + cidOf(1) + `","Type":"recursive"}` + "\n"
	second := `{"Cid":"` + cidOf(5) + `","Type":"recursive"}` + "\n"
	trailer := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Trailer", "X-Stream-Error")
		fmt.Fprint(w, first)
		w.Header().Set("X-Stream-Error", "the datastore is closed")
		return true
	}
	for name, c := range map[string]struct {
		faults []func(http.ResponseWriter, *http.Request) bool
		err    string
	}{
		"cut":             {[]func(http.ResponseWriter, *http.Request) bool{cut(first), body(first + second)}, ""},
		"within a line":   {[]func(http.ResponseWriter, *http.Request) bool{cut(first + second[:20]), body(first + second)}, ""},
		"said at the end": {[]func(http.ResponseWriter, *http.Request) bool{trailer, body(first + second)}, ""},
		"always cut":      {[]func(http.ResponseWriter, *http.Request) bool{cut(first + second)}, "the list ends early"},
		"always said":     {[]func(http.ResponseWriter, *http.Request) bool{trailer}, "the datastore is closed"},
		"no JSON":         {[]func(http.ResponseWriter, *http.Request) bool{body(first + "nonsense\n")}, "cannot be read"},
		"no CID":          {[]func(http.ResponseWriter, *http.Request) bool{body(first + `{"Message":"broken","Type":"error"}` + "\n")}, "broken"},
		"an endless line": {[]func(http.ResponseWriter, *http.Request) bool{body(first + strings.Repeat("x", 2<<20))}, "line 2 has more than 1024 KiB"},
		"refused":         {[]func(http.ResponseWriter, *http.Request) bool{status(403)}, "the token is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				n.answers["pin/ls recursive"] = c.faults
				began := time.Now()
				got, err := all(t, n.client(t))
				if c.err != "" {
					wantErr(t, err, c.err)
					if took := time.Since(began); took > giveUp+2*maxPause {
						t.Errorf("it gave up after %v", took)
					}
					return
				}
				if err != nil || len(got) != 4 || got[0].CID != cidOf(1) || got[1].CID != cidOf(5) {
					t.Errorf("listed %v, %v", got, err)
				}
			})
		})
	}
}

// A node that is silent is given up.
func TestKuboHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, err := NewKubo(Server{URL: "http://127.0.0.1:5001", Transport: silent{}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = all(t, k)
		wantErr(t, err, "nothing came for 5m0s")
		if took := time.Since(began); took > 15*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// A list is not given up while it waits for its reader.
func TestKuboWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		out, in := io.Pipe()
		go func() {
			for i := range 3 {
				fmt.Fprintf(in, `{"Cid":%q,"Type":"recursive"}`+"\n", cidOf(i))
			}
			in.Close()
		}()
		k := n.client(t)
		k.api.client.Transport = piped{k.api.client.Transport, out}
		listed := 0
		err := k.Each(t.Context(), func(Pin) error {
			listed++
			time.Sleep(2 * stalled)
			return nil
		})
		if err != nil || listed != 3 {
			t.Errorf("listed %d, %v, want 3", listed, err)
		}
	})
}

// piped answers the list of recursive pins with what comes from a pipe.
type piped struct {
	http.RoundTripper
	body io.ReadCloser
}

func (p piped) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Query().Get("type") {
	case "direct":
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	case "recursive":
		return &http.Response{StatusCode: http.StatusOK, Body: &hungUp{p.body, r.Context()}}, nil
	}
	return p.RoundTripper.RoundTrip(r)
}

// hungUp is a body that ends with its request.
type hungUp struct {
	io.ReadCloser
	ctx context.Context
}

func (h *hungUp) Read(b []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.ReadCloser.Read(b)
}

// silent never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestKuboDials(t *testing.T) {
	n := newNode()
	k := n.client(t)
	wantErr(t, k.Dial(t.Context(), []string{"a", "b"}), "no such API")
	n.answers["swarm/connect"] = []func(http.ResponseWriter, *http.Request) bool{func(w http.ResponseWriter, r *http.Request) bool {
		if got := r.URL.Query()["arg"]; len(got) != 2 {
			t.Errorf("told to connect to %v", got)
		}
		fmt.Fprint(w, `{"Strings":["connect x success"]}`)
		return true
	}}
	if err := k.Dial(t.Context(), []string{"a", "b"}); err != nil {
		t.Error(err)
	}
}

func TestAuthorization(t *testing.T) {
	for token, want := range map[string]string{"": "", "abc": "Bearer abc", "bearer:abc": "Bearer abc", "basic:user:pass:word": "Basic dXNlcjpwYXNzOndvcmQ="} {
		got := "none"
		k, err := NewKubo(Server{URL: "https://kubo.example", Token: token, Transport: direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Authorization")
			http.NotFound(w, r)
		})}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all(t, k); err == nil || got != want {
			t.Errorf("%q: sent %q, want %q; %v", token, got, want, err)
		}
	}
}
