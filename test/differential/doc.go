// Package differential holds the gateway against Kafka itself: the scripts of package script run on a cluster whose ACLs
// carry the same rights as the gateway's grants, directly and through the gateway, and must be answered and leave behind
// the same. It has tests only; a full run (SLUICE_FULL=1) writes docs/differential.md.
package differential
