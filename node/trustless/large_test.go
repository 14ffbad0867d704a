package trustless

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// paced is a body that gives its rest once it may.
type paced struct {
	io.Reader
	read    int
	beyond  func() // called once, when more than smallAnswer was read
	release <-chan struct{}
}

func (p *paced) Read(b []byte) (int, error) {
	if p.read > smallAnswer {
		<-p.release
	}
	n, err := p.Reader.Read(b[:min(len(b), 64<<10)])
	if before := p.read; before <= smallAnswer && before+n > smallAnswer {
		p.beyond()
	}
	p.read += n
	return n, err
}

func (p *paced) Close() error { return nil }

// However many large answers come at the same time, no more of them are in memory than
// there is room for, with or without a length. Small ones pass by.
func TestLargeAnswersTakeTurns(t *testing.T) {
	large, small := string(dagtest.Leaves(1, 4<<20)[0].RawData()), "small"
	for name, length := range map[string]int64{"with a length": 4 << 20, "without": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				reading := 0
				release := make(chan struct{})
				c := New(Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if !strings.Contains(r.URL.Path, dagtest.Raw(large).Cid().String()) {
						return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: 5, Body: io.NopCloser(strings.NewReader(small)), Request: r}, nil
					}
					body := &paced{Reader: strings.NewReader(large), release: release, beyond: func() {
						mu.Lock()
						defer mu.Unlock()
						reading++
					}}
					return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: length, Body: body, Request: r}, nil
				})})
				p, err := ParseURL("https://one.example")
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				for range 24 {
					wg.Go(func() {
						if _, err := c.Block(t.Context(), p, dagtest.Raw(large).Cid()); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				mu.Lock()
				if reading < 7 || reading > 8 { // 24 MiB have room for 3 MiB of each, or a byte more
					t.Errorf("%d large answers are in memory", reading)
				}
				mu.Unlock()
				if _, err := c.Block(t.Context(), p, dagtest.Raw(small).Cid()); err != nil {
					t.Errorf("a small one: %v", err)
				}
				close(release)
				wg.Wait()
			})
		})
	}
}
