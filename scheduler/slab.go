package scheduler

// slab hands out values one by one from memory that is taken for many at a
// time. They live as long as the run that they belong to.
type slab[T any] struct {
	free []T
	size int
}

func (s *slab[T]) new() *T {
	if len(s.free) == 0 {
		s.size = min(max(16, 2*s.size), 512)
		s.free = make([]T, s.size)
	}
	v := &s.free[0]
	s.free = s.free[1:]
	return v
}
