package pin

import (
	"context"

	"github.com/multiformats/go-multihash"
)

// Offline does what a [Manager] does for clients, for a command that runs while no server
// does. It only changes records: the server fetches when it next starts, and drops what was
// released. The records check the quotas.
type Offline struct {
	records Records
}

// NewOffline makes one over records, and gives them the quotas.
func NewOffline(records Records, q Quotas) *Offline {
	records.SetQuotas(q)
	return &Offline{records}
}

// Add records a request, as [Manager.Add] does.
func (o *Offline) Add(ctx context.Context, account string, s Spec) (View, error) {
	r, err := o.records.Add(ctx, account, s)
	return offlineView(r), err
}

// Replace records a request in the place of another, as [Manager.Replace] does.
func (o *Offline) Replace(ctx context.Context, account, id string, s Spec) (View, error) {
	r, _, _, err := o.records.Replace(ctx, account, id, s)
	return offlineView(r), err
}

// Remove deletes a request.
func (o *Offline) Remove(ctx context.Context, account, id string) error {
	_, _, err := o.records.Remove(ctx, account, id)
	return err
}

// RemoveAll deletes every request of an account and returns how many those were.
func (o *Offline) RemoveAll(ctx context.Context, account string) (removed int, err error) {
	return removeAll(ctx, o.records, account, o.Remove)
}

// Retry queues a failed request again.
func (o *Offline) Retry(ctx context.Context, account, id string) (View, error) {
	r, err := o.records.Retry(ctx, account, id)
	return offlineView(r), err
}

// Get returns a request, as its record has it.
func (o *Offline) Get(ctx context.Context, account, id string) (View, error) {
	r, err := o.records.Get(ctx, account, id)
	v := offlineView(r)
	v.tellDelivered()
	return v, err
}

// List returns the requests that match, as their records have them.
func (o *Offline) List(ctx context.Context, account string, q Query) (ViewPage, error) {
	page, err := o.records.List(ctx, account, q)
	views := make([]View, len(page.Requests))
	for i, r := range page.Requests {
		views[i] = offlineView(r)
	}
	return ViewPage{Count: page.Count, Views: views}, err
}

// Repair records that DAGs are to be fetched again, as [Manager.Repair] does.
func (o *Offline) Repair(ctx context.Context, r Refetcher, blocks []multihash.Multihash, told func(DAG)) error {
	ctx = context.WithoutCancel(ctx)
	dags, _, err := r.NotWhole(ctx, blocks)
	for _, d := range dags {
		if _, err := r.Refetch(ctx, d); err != nil {
			return err
		}
		told(d)
	}
	return err
}

// Adopt gives all requests of one account to another, as [Manager.Adopt] does.
func (o *Offline) Adopt(ctx context.Context, r Adopter, from, to string) (adopted, left int, err error) {
	left, err = r.Adopt(ctx, from, to, func(some []Adopted) { adopted += len(some) })
	return adopted, left, err
}

// Unpin has drop let go of what every released attempt holds, as [Engine].Drop does, and
// forgets the attempts.
func (o *Offline) Unpin(ctx context.Context, drop func(context.Context, Attempt) error) error {
	released, err := o.records.Released(ctx)
	if err != nil {
		return err
	}
	for _, a := range released {
		if err := drop(ctx, a); err != nil {
			return err
		}
		if err := o.records.Dropped(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// offlineView is a view of what a request's record says.
func offlineView(r Request) View {
	return View{Request: r, Info: InfoOf(r)}
}
