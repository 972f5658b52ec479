package identity

// NewCheap is New with hashes that cost next to nothing.
func NewCheap(config Config, deps Deps) (*People, error) {
	deps.Cheap = true
	return New(config, deps)
}

// Code is what an authenticator with this key shows at a time step.
func Code(key []byte, step int64) string { return hotp(key, step) }

// Hashes counts the password hashes that were worked out to compare with.
func (p *People) Hashes() int64 { return p.hashes.Load() }
