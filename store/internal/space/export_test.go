package space

import "context"

// What the tests of this room see of its inside.

const (
	DamagedLog  = damagedLog
	DeadLog     = deadLog
	UnsyncedLog = unsyncedLog
)

var (
	CheckLog         = checkLog
	Mark             = mark
	Marked           = marked
	RemoveDead       = removeDead
	OpenError        = openError
	ValueLogFileSize = valueLogFileSize
)

// Reserve is the lower floor, in bytes.
func (s *Space) Reserve() uint64 { return s.cfg.Reserve }

func (s *Space) Floor(floor, n uint64) error             { return s.floor(floor, n) }
func (s *Space) RollValueLog(ctx context.Context) error  { return s.rollValueLog(ctx) }
func (s *Space) Compact(ctx context.Context) error       { return s.compact(ctx) }
func (s *Space) PushOutMemory(ctx context.Context) error { return s.pushOutMemory(ctx) }

// CollectNext gives the file of which most is dead, and what collects it.
func (s *Space) CollectNext() (name string, size int64, collect func(context.Context) error, err error) {
	c := s.newCollector(GiveBackWork{})
	f, dead, err := c.next(0.5)
	return f.name, f.size, func(ctx context.Context) error { return c.one(ctx, f, dead) }, err
}

// ChangeEndOfLog changes what is taken for the end of the newest file of the value log,
// before anything is written.
func (s *Space) ChangeEndOfLog(change func(end int64) int64) {
	end := s.inside.endOfLog
	s.inside.endOfLog = func() int64 { return change(end()) }
}
