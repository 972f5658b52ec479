package identity

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/resource"
)

// Operation is what is done.
type Operation string

// Operations on documents. Those that change a state have conditions besides, which
// are control/lifecycle's.
const (
	Read Operation = "read"
	// ReadBacking is to see clusters and backing topics in a version, and its revisions.
	ReadBacking Operation = "read the revisions and backing topics of"
	Write       Operation = "write" // make or change
	Delete      Operation = "delete"
	// Use is to name a cluster in a version of one's own.
	Use Operation = "use"
	// Import is to make drafts of the topics of a cluster: those that it gives to teams
	// whose publisher one is, for a platform-admin all.
	Import Operation = "import"
	// Consent is to let an application adopt names of the target cluster, or have
	// topics of its own there.
	Consent Operation = "consent to"
	Approve Operation = "approve"
	// Discuss is to write a message about a subscription that the other side reads, and
	// Note one that stays on the provider's.
	Discuss   Operation = "discuss"
	Note      Operation = "write an internal note about"
	ReadNotes Operation = "read the internal notes about"
	// Deploy is to promote a revision of a version to an environment, or roll it back.
	Deploy Operation = "deploy"
	// Waive is to deploy what breaks somebody, for a reason.
	Waive  Operation = "waive what breaks in"
	Rotate Operation = "rotate"
	Revoke Operation = "revoke"
	// ReadRecords is to see the records that an application may read, WriteRecords to write some
	// as the application: what its credentials let a program do.
	ReadRecords  Operation = "read the records of"
	WriteRecords Operation = "write records as"
	// Invite is to make a token with which a gateway joins.
	Invite Operation = "invite"
)

// Operations on what is no document. The object says of which owner, or of which
// document.
const (
	ReadAudit Operation = "read the audit log of"
	// ReadNotifications is to see what waits for webhooks and mailboxes.
	ReadNotifications Operation = "read the notifications of"
	ReadUsage         Operation = "read the usage of"
	ReadBills         Operation = "read the bills of"
	// WriteBills is to issue and correct them.
	WriteBills Operation = "write the bills of"
	// ManagePeople is to make, disable and help accounts of others.
	ManagePeople       Operation = "manage the people of"
	AdministerPlatform Operation = "administer"
	// ReadFeed is to take the grants of all applications.
	ReadFeed Operation = "read the feed of"
	// SendUsage is to bring what was counted.
	SendUsage Operation = "send usage to"
)

// Action is an operation on a kind of document, or on what is none, without Kind.
type Action struct {
	Operation Operation
	Kind      resource.Kind
}

// reach says towards which objects a role counts.
type reach int

const (
	owned    reach = iota // held in the owning team, or in its organisation as a whole
	provided              // held so towards the provider
	within                // held anywhere in the owner's organisation
	shared                // within, and anywhere at all for what is the platform's
	anywhere              // held in any organisation
	always                // for platform-admins: whatever the object
)

// grantee is who a rule lets.
type grantee struct {
	reach reach
	roles []Role
}

// rule is a row of the table: who may do what with which kinds.
type rule struct {
	operations []Operation
	kinds      []resource.Kind // nil: what is no document
	by         []grantee
	// visible opens it to all who may find the object.
	visible bool
	// function opens it to machines of this one.
	function Function
}

var (
	platformAdmin = grantee{always, []Role{PlatformAdmin}}
	ofOwner       = func(roles ...Role) grantee { return grantee{owned, roles} }
	ofProvider    = func(roles ...Role) grantee { return grantee{provided, roles} }
)

// rules is the table. What is not in it may nobody. All roles are named where all
// count, so that a new one counts nowhere until somebody says so.
var rules = []rule{
	{operations: ops(Read), kinds: kinds(resource.KindOrganisation, resource.KindTeam), by: []grantee{
		platformAdmin, {within, []Role{OrgAdmin, Publisher, Approver, AppDeveloper, BillingAdmin, Auditor}}}},
	{operations: ops(Write), kinds: kinds(resource.KindOrganisation), by: []grantee{platformAdmin, ofOwner(OrgAdmin)}},
	{operations: ops(Delete), kinds: kinds(resource.KindOrganisation), by: []grantee{platformAdmin}},
	{operations: ops(Write, Delete), kinds: kinds(resource.KindTeam), by: []grantee{platformAdmin, ofOwner(OrgAdmin)}},

	{operations: ops(Read), kinds: kinds(resource.KindEnvironment), by: []grantee{
		platformAdmin, {anywhere, []Role{OrgAdmin, Publisher, Approver, AppDeveloper, BillingAdmin, Auditor}}}},
	{operations: ops(Write, Delete), kinds: kinds(resource.KindEnvironment), by: []grantee{platformAdmin}},

	// A cluster names secrets of the gateways' machines, and where they are sent: only the operator writes it.
	{operations: ops(Read), kinds: kinds(resource.KindCluster), by: []grantee{platformAdmin, {within, []Role{OrgAdmin, Publisher, Approver, Auditor}}}},
	{operations: ops(Write, Delete), kinds: kinds(resource.KindCluster), by: []grantee{platformAdmin}},
	{operations: ops(Use, Import), kinds: kinds(resource.KindCluster), by: []grantee{platformAdmin, {shared, []Role{OrgAdmin, Publisher}}}},

	// A gateway gets what proves every credential: only the operator says which there are, and lets them in.
	{operations: ops(Read, Write, Delete, Invite), kinds: kinds(resource.KindGateway), by: []grantee{platformAdmin}},

	{operations: ops(Read), kinds: kinds(resource.KindAPI, resource.KindVersion, resource.KindProduct), visible: true, by: []grantee{
		platformAdmin, ofOwner(OrgAdmin, Publisher, Approver, AppDeveloper, BillingAdmin, Auditor)}},
	{operations: ops(ReadBacking), kinds: kinds(resource.KindVersion), by: []grantee{platformAdmin, ofOwner(OrgAdmin, Publisher, Approver, Auditor)}},
	{operations: ops(Write, Delete), kinds: kinds(resource.KindAPI, resource.KindVersion, resource.KindProduct), by: []grantee{ofOwner(Publisher, OrgAdmin)}},
	{operations: ops(Deploy, Waive), kinds: kinds(resource.KindVersion), by: []grantee{ofOwner(Publisher, OrgAdmin)}},
	{operations: ops(Approve), kinds: kinds(resource.KindVersion), by: []grantee{ofOwner(Approver)}},

	{operations: ops(Read), kinds: kinds(resource.KindApplication), by: []grantee{
		platformAdmin, ofOwner(OrgAdmin, Publisher, Approver, AppDeveloper, BillingAdmin, Auditor)}},
	{operations: ops(Write, Delete), kinds: kinds(resource.KindApplication), by: []grantee{ofOwner(AppDeveloper, OrgAdmin)}},
	// What records hold is for those who could read them with a program: not for whoever looks after the rest.
	{operations: ops(ReadRecords, WriteRecords), kinds: kinds(resource.KindApplication), by: []grantee{ofOwner(AppDeveloper)}},
	{operations: ops(Consent), kinds: kinds(resource.KindApplication), by: []grantee{platformAdmin}},

	{operations: ops(Read), kinds: kinds(resource.KindSubscription), by: []grantee{
		platformAdmin, ofOwner(OrgAdmin, Publisher, Approver, AppDeveloper, BillingAdmin, Auditor), ofProvider(OrgAdmin, Publisher, Approver, BillingAdmin, Auditor)}},
	{operations: ops(Write, Delete), kinds: kinds(resource.KindSubscription), by: []grantee{ofOwner(AppDeveloper)}},
	{operations: ops(Discuss), kinds: kinds(resource.KindSubscription), by: []grantee{ofOwner(AppDeveloper, OrgAdmin), ofProvider(Approver, Publisher, OrgAdmin)}},
	{operations: ops(Note), kinds: kinds(resource.KindSubscription), by: []grantee{ofProvider(Approver, Publisher, OrgAdmin)}},
	{operations: ops(ReadNotes), kinds: kinds(resource.KindSubscription), by: []grantee{ofProvider(Approver, Publisher, OrgAdmin, Auditor)}},
	{operations: ops(Approve), kinds: kinds(resource.KindSubscription), by: []grantee{ofProvider(Approver, Publisher, OrgAdmin)}},

	{operations: ops(Read), kinds: kinds(resource.KindCredential), by: []grantee{platformAdmin, ofOwner(OrgAdmin, AppDeveloper, Auditor)}},
	{operations: ops(Write, Delete, Rotate), kinds: kinds(resource.KindCredential), by: []grantee{ofOwner(AppDeveloper)}},
	{operations: ops(Revoke), kinds: kinds(resource.KindCredential), by: []grantee{platformAdmin, ofOwner(AppDeveloper)}},

	{operations: ops(ReadAudit), by: []grantee{platformAdmin, ofOwner(OrgAdmin, Auditor)}},
	{operations: ops(ReadNotifications), by: []grantee{platformAdmin, ofOwner(OrgAdmin)}},
	{operations: ops(ReadUsage), by: []grantee{
		platformAdmin, ofOwner(OrgAdmin, Publisher, AppDeveloper, BillingAdmin, Auditor), ofProvider(OrgAdmin, Publisher, BillingAdmin, Auditor)}},
	{operations: ops(ReadBills), by: []grantee{ofOwner(OrgAdmin, BillingAdmin, Auditor), ofProvider(OrgAdmin, BillingAdmin, Auditor)}},
	{operations: ops(WriteBills), by: []grantee{ofProvider(BillingAdmin)}},
	{operations: ops(ManagePeople, AdministerPlatform), by: []grantee{platformAdmin}},
	{operations: ops(ReadFeed), function: Gateway},
	{operations: ops(SendUsage), function: Metering},
}

func ops(o ...Operation) []Operation           { return o }
func kinds(k ...resource.Kind) []resource.Kind { return k }

// reading are the operations that change nothing.
var reading = []Operation{Read, ReadBacking, ReadNotes, ReadAudit, ReadNotifications, ReadUsage, ReadBills, ReadFeed, ReadRecords}

// Actions are all there are, in the order of the table.
func Actions() []Action {
	var out []Action
	for _, r := range rules {
		for _, op := range r.operations {
			if r.kinds == nil {
				out = append(out, Action{Operation: op})
			}
			for _, k := range r.kinds {
				out = append(out, Action{op, k})
			}
		}
	}
	return out
}

// Authorise returns nil when an actor may do something, and a fault otherwise:
// NotFound where it may not even see the object, the same as for one that is absent,
// and Denied, with who may, where it sees it. An operation that is not in the table
// may nobody. Absent documents are authorised for Write only, which makes them.
func Authorise(actor Actor, op Operation, o Object) error {
	denied := fault.Denied
	switch {
	case allowed(actor, op, o):
		if o.Absent && op != Write {
			return missing(op, o)
		}
		return nil
	case o.Absent || !sees(actor, o):
		return missing(op, o)
	case actor.readOnly && allowed(actor.writing(), op, o):
		return fault.New(denied, "%s %s: the token is for reading only", op, o.words())
	}
	if who := whoMay(op, o); who != "" {
		return fault.New(denied, "%s %s: only %s may", op, o.words(), who)
	}
	return fault.New(denied, "%s %s: nobody may", op, o.words())
}

// Sees says whether an actor may know that the object exists.
func Sees(actor Actor, o Object) bool { return !o.Absent && sees(actor, o) }

func sees(actor Actor, o Object) bool {
	switch {
	case o.Kind != "":
		return allowed(actor, Read, o)
	case o.Owner.Organisation != "":
		return actor.platform || actor.member(o.Owner.Organisation)
	}
	return true // that there is a platform is no secret
}

func (a Actor) writing() Actor {
	a.readOnly = false
	return a
}

// rulesOf returns the rows of an action. Operations on what is no document may be of
// a document, as the usage of an application.
func rulesOf(op Operation, kind resource.Kind) []rule {
	var out []rule
	for _, r := range rules {
		if slices.Contains(r.operations, op) && (r.kinds == nil || slices.Contains(r.kinds, kind)) {
			out = append(out, r)
		}
	}
	return out
}

func allowed(actor Actor, op Operation, o Object) bool {
	if actor.readOnly && !slices.Contains(reading, op) {
		return false
	}
	for _, r := range rulesOf(op, o.Kind) {
		if r.function != "" && actor.kind == KindMachine && actor.function == r.function || r.visible && finds(actor, o) {
			return true
		}
		for _, g := range r.by {
			if slices.ContainsFunc(g.roles, func(role Role) bool { return g.reach.counts(actor, role, o) }) {
				return true
			}
		}
	}
	return false
}

func (r reach) counts(actor Actor, role Role, o Object) bool {
	switch r {
	case always:
		return role == PlatformAdmin && actor.platform
	case owned:
		return actor.Has(role, o.Owner)
	case provided:
		return o.hasProvider() && actor.Has(role, o.Provider)
	case within:
		return o.Owner.Organisation != "" && actor.within(role, o.Owner.Organisation)
	case shared:
		return actor.within(role, o.Owner.Organisation)
	case anywhere:
		return actor.within(role, "")
	}
	return false
}

// hasProvider says whether there is one besides the owner.
func (o Object) hasProvider() bool {
	return o.Kind == resource.KindSubscription || o.Provider != Owner{}
}

// finds says whether visibility alone lets an actor see the object.
func finds(actor Actor, o Object) bool {
	if o.Draft || o.Absent {
		return false
	}
	switch o.Visibility {
	case Public:
		return true
	case Partner:
		return actor.platform || actor.member("")
	case TeamWide:
		return o.Owner.Organisation != "" && actor.member(o.Owner.Organisation)
	}
	return false
}

// words names the object.
func (o Object) words() string {
	if o.Kind != "" {
		return fmt.Sprintf("%s %q", o.Kind, o.Name)
	}
	return o.Owner.String()
}

// missing is what is said of what is absent, and of what may not be seen: nothing in
// it tells the two apart.
func missing(op Operation, o Object) error {
	switch {
	case o.Kind == "":
		return fault.New(fault.NotFound, "there is no organisation or team %q that you may see", strings.TrimPrefix(o.Owner.String(), "team "))
	case op == Write:
		return fault.New(fault.NotFound, "there is no %s %q that you may see, and making one is for %s", o.Kind, o.Name, inGeneral(op, o.Kind))
	}
	return fault.New(fault.NotFound, "there is no %s %q that you may see", o.Kind, o.Name)
}

// whoMay says who may do something with an object that the reader sees.
func whoMay(op Operation, o Object) string {
	var out []string
	add := func(word string) {
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	for _, r := range rulesOf(op, o.Kind) {
		if r.function != "" {
			add(map[Function]string{Gateway: "a gateway", Metering: "the metering"}[r.function])
		}
		for _, g := range r.by {
			owner := o.Owner
			if g.reach == provided {
				owner = o.Provider
			}
			for _, role := range g.roles {
				switch {
				case g.reach == provided && !o.hasProvider():
				case role == PlatformAdmin || owner.Organisation == "" && (g.reach == owned || g.reach == provided):
					add(article(PlatformAdmin))
				case g.reach == anywhere || owner.Organisation == "":
					add(article(role))
				case role == OrgAdmin || g.reach == within || g.reach == shared:
					add(article(role) + " of " + owner.Organisation)
				default:
					add(article(role) + " of " + owner.String())
				}
			}
		}
	}
	return alternatives(out)
}

// inGeneral says who may, without naming an owner.
func inGeneral(op Operation, kind resource.Kind) string {
	var out []string
	for _, r := range rulesOf(op, kind) {
		for _, g := range r.by {
			for _, role := range g.roles {
				word := article(role)
				if g.reach == owned {
					word += " of its owner"
				}
				if !slices.Contains(out, word) {
					out = append(out, word)
				}
			}
		}
	}
	return alternatives(out)
}

func article(r Role) string {
	if strings.ContainsRune("ao", rune(r[0])) {
		return "an " + string(r)
	}
	return "a " + string(r)
}

func alternatives(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
}
