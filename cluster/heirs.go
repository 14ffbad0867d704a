package cluster

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Inherit notes that this server has taken over the requests that some accounts had at a lost one: no
// account is all of them. What they asked the cluster for is this server's from now on, and what others
// had asked for there stays theirs. The caller keeps all that is inherited, and gives it to the next
// engine as [Config].Heirs.
func (e *Engine) Inherit(instance string, accounts ...string) (all []string) {
	all = slices.Clone(*e.heirs.Load())
	if instance == e.cfg.Instance {
		return all
	}
	add := []string{instance}
	if len(accounts) > 0 {
		add = nil
		for _, a := range accounts {
			add = append(add, instance+" "+a)
		}
	}
	for _, one := range add {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	e.heirs.Store(&all)
	return all
}

// inherited reports whether the requests of an account at a lost server are this server's.
func (e *Engine) inherited(instance, account string) bool {
	all := *e.heirs.Load()
	return slices.Contains(all, instance) || slices.Contains(all, instance+" "+account)
}

// others copies the metadata of a pin that is neither this server's nor that of requests that it took
// over. keepsMeta says that what belongs to a request of this server stays, too.
func (e *Engine) others(to map[string]string, p *pinInfo, keepsMeta bool) {
	maps.Copy(to, p.Metadata)
	lost := make(map[string]struct{})
	for _, one := range *e.heirs.Load() {
		instance, _, _ := strings.Cut(one, " ")
		lost[instance] = struct{}{}
	}
	for instance := range lost {
		var left []string
		for _, prefix := range []string{requestsPrefix, unknownPrefix} {
			for _, s := range strings.Fields(p.Metadata[prefix+instance]) {
				account, _, _ := strings.Cut(s, ".")
				if !e.inherited(instance, longUUID(account)) {
					left = append(left, s)
				}
			}
		}
		if len(left) == 0 {
			without(to, p, instance, false)
			continue
		}
		to[requestsPrefix+instance] = strings.Join(left, " ")
		delete(to, unknownPrefix+instance)
	}
	without(to, p, e.cfg.Instance, keepsMeta)
}

// without takes out of the metadata of a pin what a server put there.
func without(to map[string]string, p *pinInfo, instance string, keepsMeta bool) {
	for _, prefix := range []string{attemptPrefix, requestsPrefix, unknownPrefix} {
		delete(to, prefix+instance)
	}
	if keepsMeta {
		return
	}
	for _, k := range strings.Fields(p.Metadata[keysPrefix+instance]) {
		if k, err := url.QueryUnescape(k); err == nil {
			delete(to, k)
		}
	}
	delete(to, keysPrefix+instance)
}
