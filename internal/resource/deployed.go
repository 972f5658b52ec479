package resource

// Offer is what one environment has of a version: the channels of a revision's
// contract, and where their records are, by channel and environment.
type Offer struct {
	Contract map[string]Channel            `json:"contract,omitzero"`
	Channels map[string]map[string]Backing `json:"channels,omitzero"`
}

// Offer returns what the document itself says.
func (s *VersionSpec) Offer() Offer { return Offer{s.Contract.Channels, s.Channels} }

// In returns what an environment has of a version: what was deployed there, or what
// the document says where nothing is known of deployments.
func (s *VersionSpec) In(environment string) Offer {
	if s.deployed == nil {
		return s.Offer()
	}
	return s.deployed[environment]
}

// Deployed returns a version of which environments have these offers, and other
// environments nothing, whatever its document says.
func Deployed(v *Version, offers map[string]Offer) *Version {
	out := *v
	out.Spec.deployed = offers
	return &out
}

// ExposedTopic returns the name that clients see of a channel of a version.
func (o Offer) ExposedTopic(version, channel string) string {
	return exposedTopic(version, channel, o.Contract[channel])
}
