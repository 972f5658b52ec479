package schema

import "time"

// The catalog's bodies are made for pages: a page gets what it shows in one request, as
// whoever asks may see it. What is hidden from them is neither in lists nor in counts.

// Catalog is a part of the list of what there is.
type Catalog struct {
	Items []CatalogCard `json:"items"`
	Next  string        `json:"next,omitempty" doc:"What to ask for as after for what follows; left out at the end."`
	First int           `json:"first" doc:"The place of the first item among all, 1 at the beginning; 0 where there is none."`
	// Previous is left out where the part before is the beginning, for which nothing is asked.
	Previous string `json:"previous,omitempty" doc:"What to ask for as after for what comes before; left out where that is the beginning."`
	// Versions, APIs and Topics count all that the filters leave, on all pages.
	Versions int            `json:"versions" doc:"How many items there are on all pages."`
	APIs     int            `json:"apis" doc:"Of how many APIs they are."`
	Topics   int            `json:"topics" doc:"How many topics they have together."`
	Facets   []CatalogFacet `json:"facets"`
}

// CatalogFacet is something to filter by.
type CatalogFacet struct {
	Name   string         `json:"name" enum:"can,domain,state,format,team,tag,environment" doc:"The query parameter."`
	Values []CatalogValue `json:"values"`
}

// CatalogValue is a value of a facet.
type CatalogValue struct {
	Value string `json:"value"`
	Title string `json:"title,omitempty" doc:"For people, where it is another one."`
	// Count is how many items there would be with this value and the other facets'.
	Count  int  `json:"count" doc:"How many items there are with it, whatever else this facet has chosen."`
	Chosen bool `json:"chosen,omitempty"`
}

// CatalogCard is a version of an API, at a glance.
type CatalogCard struct {
	API     string `json:"api"`
	Version string `json:"version" doc:"As orders.v2."`
	Title   string `json:"title"`
	Summary string `json:"summary,omitempty" doc:"The beginning of the description, as plain text."`
	Icon    string `json:"icon,omitempty"`
	Team    string `json:"team,omitempty" doc:"The owner."`
	// State is draft only for those who own it.
	State        string            `json:"state" enum:"draft,preview,published,deprecated,retired,blocked"`
	Since        *time.Time        `json:"since,omitempty" doc:"When it came into its state."`
	Sunset       *time.Time        `json:"sunset,omitempty"`
	Successor    string            `json:"successor,omitempty" doc:"A version."`
	Formats      []string          `json:"formats" doc:"Avro, Protobuf or JSON Schema, as the records' values are described."`
	Read         bool              `json:"read" doc:"There are topics to read."`
	Write        bool              `json:"write" doc:"There are topics to write."`
	Topics       []string          `json:"topics" doc:"The topics' names, at most ten."`
	TopicCount   int               `json:"topicCount"`
	Environments []string          `json:"environments" doc:"Where it is offered, in the order of promotion."`
	Domain       string            `json:"domain,omitempty"`
	Tags         []string          `json:"tags,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Subscribed   bool              `json:"subscribed,omitempty" doc:"An application of one's own has it."`
	Activity     *Activity         `json:"activity,omitempty" doc:"Left out where nothing is known."`
}

// Activity is what flows through topics.
type Activity struct {
	Rate      *float64   `json:"rate,omitempty" doc:"Records a second, now; left out while that is not known."`
	LastEvent *time.Time `json:"lastEvent,omitempty" doc:"When the last record came, within some seconds; left out where none has."`
	Points    []*float64 `json:"points" doc:"Records a second in each half-hour of the last 24, the oldest first; null for those of which nothing is known."`
}

// APIPage is an API, and what there is to see of one of its versions.
type APIPage struct {
	API          string            `json:"api"`
	Title        string            `json:"title"`
	Icon         string            `json:"icon,omitempty"`
	Summary      string            `json:"summary,omitempty" doc:"The beginning of the description, as plain text."`
	Description  string            `json:"description,omitempty" doc:"HTML, made of the provider's Markdown and safe to show."`
	Team         string            `json:"team,omitempty" doc:"The owner."`
	TeamTitle    string            `json:"teamTitle,omitempty" doc:"Its title, where one may see the team."`
	Organisation string            `json:"organisation,omitempty" doc:"Of the owner, where one belongs to it."`
	Visibility   string            `json:"visibility,omitempty" doc:"Only for those who own the API."`
	Domain       string            `json:"domain,omitempty"`
	Tags         []string          `json:"tags,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Support      *APISupport       `json:"support,omitempty"`
	Guides       []GuideLink       `json:"guides,omitempty"`
	Versions     []APIVersion      `json:"versions" doc:"The newest major line first."`
	Chosen       *ChosenVersion    `json:"chosen,omitempty" doc:"What there is to see of the version that was asked for; left out where the API has none."`
	Mine         []MySubscription  `json:"mine,omitempty" doc:"What applications of one's own have of the API, in all environments."`
	Owner        bool              `json:"owner,omitempty" doc:"The API is of a team of one's own."`
}

// APISupport is whom to ask.
type APISupport struct {
	Email string `json:"email,omitempty"`
	URL   string `json:"url,omitempty" doc:"http or https."`
}

// APIVersion is a version of an API.
type APIVersion struct {
	Version      string     `json:"version"`
	Major        int        `json:"major"`
	State        string     `json:"state" enum:"draft,preview,published,deprecated,retired,blocked"`
	Since        *time.Time `json:"since,omitempty"`
	Sunset       *time.Time `json:"sunset,omitempty"`
	Successor    string     `json:"successor,omitempty"`
	Environments []string   `json:"environments" doc:"Where it is offered, in the order of promotion."`
}

// ChosenVersion is what an environment offers of a version.
type ChosenVersion struct {
	Version string `json:"version"`
	// Environment is empty where the version is offered nowhere, which those see who own it.
	Environment  string           `json:"environment,omitempty" doc:"The environment that the rest is of; left out for what is offered nowhere yet."`
	Environments []APIEnvironment `json:"environments" doc:"Where it is offered, in the order of promotion."`
	State        string           `json:"state" enum:"draft,preview,published,deprecated,retired,blocked"`
	Banner       *APIBanner       `json:"banner,omitempty"`
	Read         []APIChannel     `json:"read" doc:"You can read."`
	Write        []APIChannel     `json:"write" doc:"You can write."`
	Plans        []APIPlan        `json:"plans"`
	Facts        APIFacts         `json:"facts"`
}

// APIEnvironment is where a version is offered.
type APIEnvironment struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
}

// APIBanner is the gravest thing to know of a version.
type APIBanner struct {
	Kind      string     `json:"kind" enum:"draft,preview,deprecated,retired,blocked"`
	Since     *time.Time `json:"since,omitempty"`
	Sunset    *time.Time `json:"sunset,omitempty" doc:"When a deprecated version ends, or a retired one has."`
	Until     *time.Time `json:"until,omitempty" doc:"The sunset with its grace: from then on nothing is read and written."`
	Brownouts []Brownout `json:"brownouts,omitempty" doc:"Windows to come in which the version falls silent."`
	Successor string     `json:"successor,omitempty" doc:"A version that one may see."`
	// SuccessorAPI is the API of the successor, for a link.
	SuccessorAPI string `json:"successorApi,omitempty"`
	Reason       string `json:"reason,omitempty" doc:"What was said of it, for those who own or use the version."`
}

// APIChannel is a topic.
type APIChannel struct {
	Channel     string    `json:"channel" doc:"Its name in the contract."`
	Topic       string    `json:"topic" doc:"The name that clients see."`
	Title       string    `json:"title,omitempty"`
	Description string    `json:"description,omitempty" doc:"HTML, safe to show."`
	Key         string    `json:"key,omitempty" doc:"What records are keyed by, in words; left out where it is not said."`
	Formats     []string  `json:"formats"`
	Messages    []string  `json:"messages" doc:"The names of the messages."`
	Partitions  *int      `json:"partitions,omitempty"`
	Retention   string    `json:"retention,omitempty" doc:"How long records are kept, as 336h0m0s; unlimited where they are kept for good."`
	Activity    *Activity `json:"activity,omitempty"`
}

// APIPlan is a plan of a product that has the version.
type APIPlan struct {
	Product      string `json:"product"`
	ProductTitle string `json:"productTitle,omitempty"`
	Plan         string `json:"plan"`
	// Versions are all that the product holds and one may see.
	Versions []string       `json:"versions" doc:"All versions that come with it, as far as one may see them."`
	Auth     []string       `json:"auth" doc:"The methods to log in by: plain, scram, oauth, mtls."`
	Approval string         `json:"approval" enum:"automatic,manual"`
	Read     []string       `json:"read" doc:"Topics of this version that the plan lets subscribers read."`
	Write    []string       `json:"write" doc:"Topics that it lets them write."`
	Manage   []PlanManage   `json:"manage,omitempty"`
	Limits   []PlanLimit    `json:"limits" doc:"None where there is no limit."`
	Form     []PlanQuestion `json:"form,omitempty" doc:"What whoever subscribes is asked."`
	Terms    string         `json:"terms,omitempty" doc:"HTML, safe to show."`
	Mine     []string       `json:"mine,omitempty" doc:"Subscriptions of applications of one's own in the chosen environment."`
}

// PlanManage is what a plan gives besides reading and writing.
type PlanManage struct {
	Topic string   `json:"topic"`
	May   []string `json:"may" doc:"deleteRecords, alterConfigs."`
}

// PlanLimit is a number that a plan holds a client to.
type PlanLimit struct {
	Name string `json:"name" doc:"As in documents: readBytesPerSecond."`
	// Number is bytes, a count, or seconds where Unit says so.
	Number float64 `json:"number"`
	Unit   string  `json:"unit" enum:"bytes/s,bytes/month,records/s,requests/s,connections,connections/s,seconds"`
}

// PlanQuestion is one of a plan's form.
type PlanQuestion struct {
	Name     string   `json:"name"`
	Title    string   `json:"title,omitempty"`
	Help     string   `json:"help,omitempty"`
	Type     string   `json:"type" enum:"text,number,boolean,date,email,choice"`
	Choices  []string `json:"choices,omitempty"`
	Required bool     `json:"required,omitempty"`
}

// APIFacts are what stands at the side of a version.
type APIFacts struct {
	Formats       []string   `json:"formats"`
	ContentTypes  []string   `json:"contentTypes,omitempty"`
	Compatibility string     `json:"compatibility,omitempty" doc:"As BACKWARD."`
	OrderingKey   string     `json:"orderingKey,omitempty" doc:"What records are keyed by, where all topics say the same."`
	Partitions    *int       `json:"partitions,omitempty" doc:"Of each topic, where all have as many."`
	Retention     string     `json:"retention,omitempty" doc:"Of each topic, where it is the same for all."`
	Revision      int        `json:"revision,omitempty"`
	Deployed      *time.Time `json:"deployed,omitempty" doc:"When the environment got the revision."`
	Subscribers   *int       `json:"subscribers,omitempty" doc:"Applications with an active subscription, in all environments; for those who own the API."`
	AsyncAPI      string     `json:"asyncapi,omitempty" doc:"The version of AsyncAPI that the contract is handed out in."`
}

// MySubscription is what an application of one's own has.
type MySubscription struct {
	Subscription string   `json:"subscription"`
	Application  string   `json:"application"`
	Environment  string   `json:"environment"`
	Product      string   `json:"product"`
	Plan         string   `json:"plan"`
	State        string   `json:"state" enum:"pending,active,suspended,closed,rejected,expired"`
	Versions     []string `json:"versions" doc:"Those of the API that it is about."`
}

// GuideLink leads to a page of an API's documentation.
type GuideLink struct {
	Page  string `json:"page"`
	Title string `json:"title"`
}

// Guide is a page of an API's documentation.
type Guide struct {
	API      string     `json:"api"`
	Page     string     `json:"page"`
	Title    string     `json:"title"`
	HTML     string     `json:"html" doc:"Safe to show."`
	Headings []Heading  `json:"headings" doc:"For a table of contents."`
	Previous *GuideLink `json:"previous,omitempty"`
	Next     *GuideLink `json:"next,omitempty"`
}

// Pages are the documentation of an API as its provider wrote it.
type Pages struct {
	Pages map[string]string `json:"pages" doc:"Markdown, by the names of files."`
}

// Heading is one of a page.
type Heading struct {
	Level int    `json:"level" minimum:"1" maximum:"6"`
	ID    string `json:"id" doc:"What leads to it, behind #."`
	Text  string `json:"text"`
}

// Reference is what the records of a version are.
type Reference struct {
	API         string             `json:"api"`
	Version     string             `json:"version"`
	Environment string             `json:"environment,omitempty"`
	Revision    int                `json:"revision,omitempty"`
	Channels    []ReferenceChannel `json:"channels"`
}

// ReferenceChannel is a topic and what is in it.
type ReferenceChannel struct {
	APIChannel
	Read     bool               `json:"read"`
	Write    bool               `json:"write"`
	Contents []ReferenceMessage `json:"contents" doc:"The messages."`
}

// ReferenceMessage is one sort of record.
type ReferenceMessage struct {
	Name        string             `json:"name"`
	Title       string             `json:"title,omitempty"`
	Summary     string             `json:"summary,omitempty"`
	Description string             `json:"description,omitempty" doc:"HTML, safe to show."`
	ContentType string             `json:"contentType,omitempty"`
	Deprecated  bool               `json:"deprecated,omitempty"`
	Tags        []string           `json:"tags,omitempty"`
	Key         *ReferenceSchema   `json:"key,omitempty"`
	Value       *ReferenceSchema   `json:"value,omitempty"`
	Headers     *ReferenceSchema   `json:"headers,omitempty"`
	Examples    []ReferenceExample `json:"examples,omitempty"`
	CloudEvents *ReferenceEvent    `json:"cloudEvents,omitempty"`
	Correlation string             `json:"correlation,omitempty" doc:"Where the correlation id is, as the contract says it."`
	Registry    *ReferenceRegistry `json:"registry,omitempty"`
}

// ReferenceRegistry is how records name their schema.
type ReferenceRegistry struct {
	Location string `json:"location,omitempty" doc:"header or payload."`
	Encoding string `json:"encoding,omitempty"`
	Strategy string `json:"strategy,omitempty"`
}

// ReferenceSchema is a schema as a tree of fields, which looks the same whatever the
// schema's language.
type ReferenceSchema struct {
	Format string            `json:"format" doc:"Avro, Protobuf, JSON Schema or other."`
	Name   string            `json:"name,omitempty"`
	Type   string            `json:"type" doc:"Of the whole, as record, or text where there are no fields."`
	About  []string          `json:"about,omitempty" doc:"What else holds for the whole, in words."`
	Fields []*ReferenceField `json:"fields"`
	Cut    bool              `json:"cut,omitempty" doc:"There are more fields than are shown."`
	Source string            `json:"source" doc:"The schema as it was written."`
	// Language is what the source is written in.
	Language string `json:"language" enum:"json,protobuf,text" doc:"Of the source."`
}

// ReferenceField is a field of records, or a variant of a union.
type ReferenceField struct {
	Name        string            `json:"name"`
	Path        string            `json:"path" doc:"As lines[].sku; the same field has the same path in all revisions."`
	Type        string            `json:"type" doc:"In words, as array of record."`
	About       []string          `json:"about,omitempty" doc:"Constraints in words, as at most 500 characters."`
	Required    bool              `json:"required,omitempty"`
	Title       string            `json:"title,omitempty"`
	Description string            `json:"description,omitempty" doc:"Plain text."`
	Example     string            `json:"example,omitempty" doc:"JSON."`
	Default     string            `json:"default,omitempty" doc:"JSON."`
	Personal    bool              `json:"personal,omitempty" doc:"Personal data."`
	Deprecated  bool              `json:"deprecated,omitempty"`
	Since       string            `json:"since,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Variant     bool              `json:"variant,omitempty" doc:"It is one of the forms that the field above has, and no field of its own."`
	Cut         string            `json:"cut,omitempty" enum:"recursion,depth,count" doc:"Why nothing is shown below it."`
	Fields      []*ReferenceField `json:"fields,omitempty"`
}

// ReferenceExample is a record as the contract shows it.
type ReferenceExample struct {
	Name    string `json:"name,omitempty"`
	Summary string `json:"summary,omitempty"`
	Value   string `json:"value,omitempty" doc:"JSON."`
	Headers string `json:"headers,omitempty" doc:"JSON."`
}

// ReferenceEvent is how records are CloudEvents.
type ReferenceEvent struct {
	Mode     string   `json:"mode" enum:"binary,structured"`
	Headers  []string `json:"headers,omitempty"`
	Required []string `json:"required,omitempty"`
}

// VersionComparison is what differs between two states of an API's contract, for those
// who read and write its topics.
type VersionComparison struct {
	From     ComparedVersion  `json:"from"`
	To       ComparedVersion  `json:"to"`
	Breaks   bool             `json:"breaks" doc:"Somebody breaks."`
	Findings []ReaderFinding  `json:"findings" doc:"What clients notice, breaks first."`
	Channels []ComparedTopics `json:"channels" doc:"What differs in each channel."`
}

// ComparedVersion is one side of a comparison.
type ComparedVersion struct {
	Version     string `json:"version"`
	Revision    int    `json:"revision,omitempty"`
	Environment string `json:"environment,omitempty"`
}

// ReaderFinding is something that clients notice.
type ReaderFinding struct {
	Rule     string   `json:"rule"`
	Breaking bool     `json:"breaking"`
	Channel  string   `json:"channel,omitempty"`
	Who      []string `json:"who" doc:"readers, writers."`
	Message  string   `json:"message"`
	Fix      string   `json:"fix,omitempty"`
}

// ComparedTopics is what differs in a channel.
type ComparedTopics struct {
	Channel  string            `json:"channel"`
	Change   string            `json:"change" enum:"added,removed,changed,same"`
	From     string            `json:"from,omitempty" doc:"The topic."`
	To       string            `json:"to,omitempty" doc:"The topic."`
	Messages []ComparedMessage `json:"messages,omitempty"`
}

// ComparedMessage is what differs in a message.
type ComparedMessage struct {
	Message string        `json:"message"`
	Change  string        `json:"change" enum:"added,removed,changed,same"`
	Fields  []FieldChange `json:"fields" doc:"In the order of the tree."`
}

// FieldChange is a field that differs.
type FieldChange struct {
	Part   string     `json:"part" enum:"key,value,headers"`
	Path   string     `json:"path"`
	Change string     `json:"change" enum:"added,removed,changed"`
	Before *FieldSide `json:"before,omitempty"`
	After  *FieldSide `json:"after,omitempty"`
}

// FieldSide is a field as it was, or is.
type FieldSide struct {
	Type       string   `json:"type"`
	About      []string `json:"about,omitempty"`
	Required   bool     `json:"required,omitempty"`
	Deprecated bool     `json:"deprecated,omitempty"`
}

// Changelog is what happened to an API, the newest first.
type Changelog struct {
	Items []ChangelogEntry `json:"items"`
	Next  string           `json:"next,omitempty" doc:"What to ask for as after for what follows; left out at the end."`
}

// ChangelogEntry is one thing that happened to a version.
type ChangelogEntry struct {
	Time        time.Time       `json:"time"`
	Version     string          `json:"version"`
	Kind        string          `json:"kind" enum:"state,revision"`
	State       string          `json:"state,omitempty" enum:"draft,preview,published,deprecated,retired,blocked" doc:"The one that it came into."`
	Revision    int             `json:"revision,omitempty"`
	Environment string          `json:"environment,omitempty" doc:"That the revision is seen in."`
	Breaks      bool            `json:"breaks,omitempty"`
	Lines       []ChangelogLine `json:"lines,omitempty"`
	More        int             `json:"more,omitempty" doc:"How many lines were left out."`
}

// ChangelogLine is one difference in words.
type ChangelogLine struct {
	Kind string `json:"kind" enum:"breaking,notice,added,removed,changed"`
	Text string `json:"text"`
}

// SearchResults are what was found, in groups.
type SearchResults struct {
	Query  string        `json:"query"`
	Groups []SearchGroup `json:"groups" doc:"Those with something in them, best first within each."`
}

// SearchGroup is one sort of things that were found.
type SearchGroup struct {
	Name  string      `json:"name" enum:"apis,topics,fields,guides,applications,rejections"`
	Items []SearchHit `json:"items" doc:"At most five."`
	Total int         `json:"total" doc:"How many there are that one may see."`
}

// SearchHit is something that was found.
type SearchHit struct {
	Title []TextPart `json:"title"`
	About []TextPart `json:"about,omitempty" doc:"Where it is, or the place in a text that was found."`
	API   string     `json:"api,omitempty"`
	// Version and the rest say where it is, as far as it is there.
	Version     string `json:"version,omitempty"`
	Topic       string `json:"topic,omitempty"`
	Channel     string `json:"channel,omitempty"`
	Message     string `json:"message,omitempty"`
	Part        string `json:"part,omitempty" enum:"key,value,headers"`
	Path        string `json:"path,omitempty" doc:"Of the field."`
	Page        string `json:"page,omitempty" doc:"Of the guide."`
	Application string `json:"application,omitempty"`
	Rejection   string `json:"rejection,omitempty"`
	State       string `json:"state,omitempty"`
}

// TextPart is a part of a text that was searched.
type TextPart struct {
	Text  string `json:"text"`
	Match bool   `json:"match,omitempty" doc:"It is what was searched for."`
}
