package identity

import "sluice/internal/resource"

// Visibility says who may find an API and what belongs to it.
type Visibility string

// The visibilities. Anything else is as private.
const (
	Private  Visibility = "private" // the owning team
	TeamWide Visibility = "team"    // every team of the owner's organisation
	Partner  Visibility = "partner" // whoever has a role in any organisation
	Public   Visibility = "public"  // everybody, logged in or not
)

// Object is what something is done to: a document, or what belongs to an owner.
type Object struct {
	// Kind and Name are of the document; empty where it is none.
	Kind resource.Kind
	Name string
	// Owner is the document's. Subscriptions and credentials belong to the team that
	// owns the application, an Organisation or a Team to itself.
	Owner Owner
	// Provider is who owns the product of a subscription.
	Provider Owner
	// Visibility of an API, also for its versions; for a product, the narrowest of its
	// versions'.
	Visibility Visibility
	// Draft hides it from everybody but the owner.
	Draft bool
	// Absent says that there is no such document. Owner is then where it would be made.
	Absent bool
}
