package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// uploader uploads to a program as one account.
type uploader struct {
	t       *testing.T
	p       *Program
	account string
	token   string
}

func newUploader(t *testing.T, p *Program, email string) *uploader {
	t.Helper()
	a, err := p.core.auth.AddAccount(t.Context(), auth.NewAccount{Email: email, Password: "correct horse battery staple"})
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := p.core.auth.AddDevice(t.Context(), a.ID, auth.NewDevice{Name: "kubo", Scope: auth.ScopePin})
	if err != nil {
		t.Fatal(err)
	}
	return &uploader{t: t, p: p, account: a.ID, token: secret}
}

const formHead = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: application/octet-stream\r\n\r\n"

// send sends a body to a command, and gives the status and the answer, with the error behind it.
func (u *uploader) send(command string, body io.Reader) (status int, answer string) {
	r, err := http.NewRequestWithContext(u.t.Context(), http.MethodPost, u.p.URL()+RPCPath+"/"+command, body)
	if err != nil {
		u.t.Error(err)
		return 0, ""
	}
	r.Header.Set("Authorization", "Bearer "+u.token)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		u.t.Errorf("%s: %v", command, err)
		return 0, ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		u.t.Errorf("%s: %v", command, err)
	}
	return res.StatusCode, string(b) + res.Trailer.Get("X-Stream-Error")
}

// add adds a file with some content, and gives its CID.
func (u *uploader) add(content []byte) cid.Cid {
	status, answer := u.send("add?cid-version=1", io.MultiReader(strings.NewReader(formHead), bytes.NewReader(content), strings.NewReader("\r\n--x--\r\n")))
	var e struct{ Hash string }
	if status != http.StatusOK || json.Unmarshal([]byte(answer), &e) != nil {
		u.t.Errorf("add is answered %d %s", status, answer)
		return cid.Undef
	}
	c, err := cid.Decode(e.Hash)
	if err != nil {
		u.t.Error(err)
	}
	return c
}

// random is content that nobody has.
func random(seed uint64, size int) []byte {
	b := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = src.Read(b)
	return b
}

// nothingLeft waits until all uploads have ended, reclaims, and checks that exactly what is
// pinned is there: so many blocks.
func nothingLeft(t *testing.T, p *Program, blocks uint64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		released, err := p.core.store.Released(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(released) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d uploads did not end", len(released))
		}
	}
	if _, err := p.core.store.Reclaim(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	st, err := p.core.store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Live.Blocks != blocks || st.Dead.Blocks != 0 {
		t.Errorf("%+v blocks are alive and %+v dead, want %d and none", st.Live, st.Dead, blocks)
	}
}

// deny makes a directory with a denylist that has a block.
func deny(t *testing.T, data []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c := cid.NewCidV1(cid.Raw, blocks.NewBlock(data).Cid().Hash())
	if err := os.WriteFile(filepath.Join(dir, "mine.deny"), []byte("/ipfs/"+c.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Whatever goes wrong with an upload, nothing of it is left, and others are pinned.
func TestUploadsThatGoWrong(t *testing.T) {
	denied := random(1, 1000)
	p, _ := withGateway(t, func(c *config.Config) { c.Denylist.Dirs = []string{deny(t, denied)} })
	alice, bob := newUploader(t, p, "alice@example.org"), newUploader(t, p, "bob@example.org")
	kept := alice.add(random(2, 600_000)) // three chunks and their root
	const mine = 4
	nothingLeft(t, p, mine)
	if v, err := p.pins.List(t.Context(), alice.account, pin.Query{Limit: 1}); err != nil || v.Count != 1 || v.Views[0].Root != kept {
		t.Errorf("the account has %+v, %v", v, err)
	}
	status, car := alice.export(kept)
	if status != http.StatusOK {
		t.Fatalf("the CAR is answered %d", status)
	}
	uploadsGoWrong(t, p, alice, bob, denied, car, 100, mine, 3) // two chunks and a root each
}

// uploadsGoWrong has uploads fail in some ways, a quarter of many at the same time among them. mine is how
// many blocks the server has before, and each how many it keeps of a file of two chunks.
func uploadsGoWrong(t *testing.T, p *Program, alice, bob *uploader, denied, car []byte, many int, mine, each uint64) {
	t.Run("client gone", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s/add?progress=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000000\r\n\r\n%s", RPCPath, bob.token, formHead)
		if _, err := conn.Write(random(3, 20<<20)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		nothingLeft(t, p, mine)
	})
	t.Run("quota", func(t *testing.T) {
		if _, err := p.core.auth.SetQuota(t.Context(), bob.account, auth.NewQuota{Bytes: new(uint64(1 << 20))}); err != nil {
			t.Fatal(err)
		}
		sent := &endless{}
		status, answer := bob.send("add", io.MultiReader(strings.NewReader(formHead), sent))
		if status != http.StatusConflict || !strings.Contains(answer, "quota of bytes") {
			t.Errorf("an endless upload is answered %d %s", status, answer)
		}
		if n := sent.n.Load(); n > 100<<20 {
			t.Errorf("it ends after %d bytes", n)
		}
		if _, err := p.core.auth.SetQuota(t.Context(), bob.account, auth.NewQuota{Bytes: new(uint64(0))}); err != nil {
			t.Fatal(err)
		}
		nothingLeft(t, p, mine)
	})
	t.Run("denied", func(t *testing.T) {
		content := append(append(random(4, 1000), denied...), random(5, 1000)...)
		status, answer := bob.send("add?cid-version=1&chunker=size-1000", io.MultiReader(strings.NewReader(formHead), bytes.NewReader(content), strings.NewReader("\r\n--x--\r\n")))
		if status != http.StatusUnavailableForLegalReasons {
			t.Errorf("a denied block is answered %d %s", status, answer)
		}
		nothingLeft(t, p, mine)
	})
	t.Run("lying CAR", func(t *testing.T) {
		lying := bytes.Clone(car)
		lying[len(lying)-1] ^= 1
		for what, b := range map[string][]byte{"lying": lying, "cut": car[:len(car)-1], "no CAR": []byte("what")} {
			status, answer := bob.send("dag/import", io.MultiReader(strings.NewReader(formHead), bytes.NewReader(b), strings.NewReader("\r\n--x--\r\n")))
			if status != http.StatusBadRequest {
				t.Errorf("a CAR that is %s is answered %d %s", what, status, answer)
			}
		}
		nothingLeft(t, p, mine)
	})
	t.Run("many at once", func(t *testing.T) {
		var all sync.WaitGroup
		var added atomic.Int64
		for i := range many {
			all.Go(func() {
				content := random(uint64(1000+i), 300_000)
				if i%4 != 0 {
					if c := bob.add(content); c.Defined() {
						added.Add(1)
					}
					return
				}
				body := io.MultiReader(strings.NewReader(formHead), bytes.NewReader(content), strings.NewReader("and then it is cut off"))
				if status, answer := alice.send("add", body); status == http.StatusOK {
					t.Errorf("an upload that is cut off is answered %s", answer)
				}
			})
		}
		all.Wait()
		good := many / 4 * 3
		if n := added.Load(); n != int64(good) {
			t.Errorf("%d files were added of %d", n, good)
		}
		nothingLeft(t, p, mine+each*uint64(good))
	})
}

// endless is a stream of zeros without an end.
type endless struct{ n atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.n.Add(int64(len(p)))
	return len(p), nil
}

// export reads a CAR.
func (u *uploader) export(c cid.Cid) (status int, car []byte) {
	r, err := http.NewRequestWithContext(u.t.Context(), http.MethodPost, u.p.URL()+RPCPath+"/dag/export?arg="+c.String(), nil)
	if err != nil {
		u.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+u.token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		u.t.Fatal(err)
	}
	defer res.Body.Close()
	if car, err = io.ReadAll(res.Body); err != nil {
		u.t.Fatal(err)
	}
	return res.StatusCode, car
}
