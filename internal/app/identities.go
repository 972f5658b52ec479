package app

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/control/publish"
	"sluice/internal/gateway/identity"
)

// newKeeper makes what keeps users of applications at a target cluster, once it is told to.
func newKeeper(cluster string, deps clusterDeps) *identity.Keeper {
	return identity.New(identity.Config{
		Cluster: cluster, Prefix: identity.Prefix(deps.seed, deps.environment, cluster), Fresh: deps.fresh, Log: deps.log, Now: deps.now,
	})
}

// identityOf is what a cluster's document says of applications' users.
func identityOf(spec publish.Cluster) *identity.Settings {
	if spec.Identity == nil {
		return nil
	}
	return &identity.Settings{PerApplication: spec.Identity.PerApplication, Mechanism: spec.Identity.Mechanism, MasterKey: spec.Identity.MasterKey.Reveal()}
}

// fresh says whether what is in force is the newest, as far as can be known.
func (a *App) fresh() bool {
	return a.follower == nil || a.follower.receiver.Standing().Connected
}

// identityNotes says at which clusters applications' users are not as they should be.
func (c *clusters) identityNotes() []string {
	var out []string
	for _, cl := range c.inOrder() {
		if s := cl.keeper.Standing(); s.Failure != "" {
			out = append(out, fmt.Sprintf("target cluster %q: users of applications are not as they should be: %s", cl.Name(), s.Failure))
		}
	}
	return out
}

// identityCollector shows the users of applications at target clusters that know them.
type identityCollector struct{ clusters *clusters }

var (
	identityWanted  = prometheus.NewDesc("sluice_gateway_upstream_users_wanted", "Applications that are to have a user of their own at a target cluster.", []string{"cluster"}, nil)
	identityReady   = prometheus.NewDesc("sluice_gateway_upstream_users_ready", "Applications whose user at a target cluster can be used.", []string{"cluster"}, nil)
	identityFailing = prometheus.NewDesc("sluice_gateway_upstream_users_failing", "1 while users of applications at a target cluster are not as they should be, else 0.", []string{"cluster"}, nil)
	identityChanges = prometheus.NewDesc("sluice_gateway_upstream_user_changes_total", "Changes to users of applications at a target cluster, their ACLs and their quotas.", []string{"cluster", "kind"}, nil)
)

// Describe is prometheus.Collector's.
func (identityCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{identityWanted, identityReady, identityFailing, identityChanges} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (c identityCollector) Collect(ch chan<- prometheus.Metric) {
	for _, cl := range c.clusters.inOrder() {
		s := cl.keeper.Standing()
		if !s.On {
			continue
		}
		failing := 0.0
		if s.Failure != "" {
			failing = 1
		}
		ch <- prometheus.MustNewConstMetric(identityWanted, prometheus.GaugeValue, float64(s.Wanted), cl.Name())
		ch <- prometheus.MustNewConstMetric(identityReady, prometheus.GaugeValue, float64(s.Ready), cl.Name())
		ch <- prometheus.MustNewConstMetric(identityFailing, prometheus.GaugeValue, failing, cl.Name())
		for _, kind := range []string{identity.ChangedUsers, identity.ChangedACLs, identity.ChangedQuotas} {
			ch <- prometheus.MustNewConstMetric(identityChanges, prometheus.CounterValue, float64(s.Changes[kind]), cl.Name(), kind)
		}
	}
}
