package schema

// Import says what to make drafts of.
type Import struct {
	// Team is to own the drafts; without it those to whom the cluster gives the topics.
	Team string `json:"team,omitempty" maxLength:"128" doc:"Owns the drafts; without it those to whom the cluster gives the topics."`
	// Topics are patterns of names, such as shop.*; none means all.
	Topics []string `json:"topics,omitempty" maxItems:"100" doc:"Patterns of names, such as shop.*; all by default."`
	// SchemaRegistry has the topics' schemas.
	SchemaRegistry *SchemaRegistry `json:"schemaRegistry,omitempty" doc:"Has the topics' schemas."`
}

// SchemaRegistry is where a schema registry is, and who reads it.
type SchemaRegistry struct {
	URL string `json:"url" format:"uri" maxLength:"2048" doc:"Where its REST API is."`
	// Username and Password are for basic authentication. They are used once, and not kept.
	Username string `json:"username,omitempty" maxLength:"256" doc:"For basic authentication; used once, and not kept."`
	Password string `json:"password,omitempty" maxLength:"4096"`
}

// Imported is what an import has found.
type Imported struct {
	// Documents are drafts of what is not there yet, and of versions that are and whose
	// schemas are others in the registry by now.
	Documents []Document `json:"documents"`
	// Tags of the documents that are there, by KIND/NAME: what If-Match and tags take.
	Tags  map[string]string `json:"tags,omitempty"`
	Notes []ImportNote      `json:"notes"`
	// Known is how many topics are offered already.
	Known int `json:"known"`
}

// ImportNote is something that an import left out, or did otherwise than one might
// think.
type ImportNote struct {
	// About is a topic, or "subject" and a subject of the registry.
	About   string `json:"about"`
	Message string `json:"message"`
}
