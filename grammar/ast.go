package grammar

import "github.com/alecthomas/participle/v2/lexer"

// The tree of a statement: one type per verb, filled by the parser from the
// struct tags, which are the grammar of the language. The expect tags say what
// the words of a field stand for; [Expect] hands them to completion.

// Token is a word of a statement with its place. The zero Token is absent.
type Token = lexer.Token

// Node is "node [ID:] UNAME[:TYPE] ...".
type Node struct {
	Pos      Position
	ID       Token          `parser:"( @Label | @ID )?" expect:"node-id"`
	Name     Token          `parser:"@(Word|Key)" expect:"new-node"`
	Desc     Token          `parser:"@Desc?"`
	Bare     *SetBody       `parser:"@@?" expect:"node-attribute"`
	Sections []*NodeSection `parser:"@@*"`
}

// NodeSection is an attribute set of a node.
type NodeSection struct {
	Pos  Position
	Kind Token    `parser:"@('attributes'|'utilization')"`
	Set  *SetBody `parser:"@@?" expect:"section"`
}

// Primitive is "primitive ID AGENT|@TEMPLATE ...".
type Primitive struct {
	Pos      Position
	ID       Token      `parser:"@(Word|Key)" expect:"new-resource"`
	Agent    Token      `parser:"( @Word" expect:"agent"`
	Template Token      `parser:"| @At )" expect:"template"`
	Desc     Token      `parser:"@Desc?"`
	Bare     *SetBody   `parser:"@@?" expect:"parameter"`
	Sections []*Section `parser:"@@*"`
}

// Template is "rsc_template ID AGENT ...".
type Template struct {
	Pos      Position
	ID       Token      `parser:"@(Word|Key)" expect:"new-resource"`
	Agent    Token      `parser:"@Word" expect:"agent"`
	Desc     Token      `parser:"@Desc?"`
	Bare     *SetBody   `parser:"@@?" expect:"parameter"`
	Sections []*Section `parser:"@@*"`
}

// Section is a section of a primitive or template: one attribute set, the
// head of the operations, or one operation.
type Section struct {
	Pos  Position
	Op   *Op         `parser:"( @@"`
	Kind Token       `parser:"| @('params'|'meta'|'utilization')"`
	Set  *SetBody    `parser:"  @@?" expect:"section"`
	Ops  *Operations `parser:"| @@ )"`
}

// Operations is the head of the operations: an id that theirs are made from,
// or a reference to another resource's.
type Operations struct {
	Pos Position
	ID  Token `parser:"'operations' ( @ID"`
	Ref Token `parser:"  | @IDRef )?" expect:"set"`
}

// Op is "op NAME attribute=value ... [op_params ...] [op_meta ...]".
type Op struct {
	Pos   Position
	Name  Token    `parser:"'op' @Word" expect:"operation"`
	Pairs []Token  `parser:"@((ID|Pair)+)?" expect:"operation-attribute"`
	Sets  []*OpSet `parser:"@@*"`
}

// OpSet is an attribute set of an operation.
type OpSet struct {
	Pos  Position
	Kind Token    `parser:"@('op_params'|'op_meta')"`
	Set  *SetBody `parser:"@@?" expect:"section"`
}

// SetBody is what stands behind the word that opens an attribute set: a
// reference alone; or an id, a score, rules and pairs, in this order, one at
// least. (The lookahead keeps the parser from a match of nothing.)
type SetBody struct {
	Pos   Position
	Ref   Token   `parser:"(?= Pair|'rule':Key|Label|ID|IDRef) @IDRef?" expect:"set"`
	ID    Token   `parser:"@ID?"`
	Score Token   `parser:"@Label?" expect:"score"`
	Rules []*Rule `parser:"@@*"`
	Pairs []Token `parser:"@(Pair+)?" expect:"pair"`
}

// Rule is "rule [$id=X] [role=R] [SCORE:] EXPRESSION" or "rule $id-ref=X".
type Rule struct {
	Pos   Position
	Ref   Token     `parser:"'rule':Key ( @IDRef" expect:"rule"`
	ID    Token     `parser:"| @ID?"`
	Role  Token     `parser:"  @Role?" expect:"role"`
	Score Token     `parser:"  @Label?" expect:"score"`
	First *Simple   `parser:"  @@"`
	Rest  []*Clause `parser:"  @@* )"`
}

// Clause is a further expression of a rule.
type Clause struct {
	Pos  Position
	Bool Token   `parser:"@('and':Key|'or':Key)"`
	Expr *Simple `parser:"@@"`
}

// Simple is one comparison of a rule.
type Simple struct {
	Pos   Position
	Date  *DateExpr `parser:"( 'date':Key @@"`
	Unary Token     `parser:"| @('defined':Key|'not_defined':Key)"`
	Of    Token     `parser:"  @Word" expect:"rule-attribute"`
	Attr  Token     `parser:"| @Word" expect:"rule-attribute"`
	Op    Token     `parser:"  @Op" expect:"comparison"`
	Value Token     `parser:"  @Word )" expect:"rule-value"`
}

// DateExpr is what stands behind "date" in a rule.
type DateExpr struct {
	Pos   Position
	Op    Token   `parser:"( @Op" expect:"date-comparison"`
	Date  Token   `parser:"  @Word" expect:"date"`
	In    Token   `parser:"| @('in':Key|'in_range':Key)"`
	Range []Token `parser:"  @(DatePair+)" expect:"date-range"`
	Spec  Token   `parser:"| @('spec':Key|'date_spec':Key)"`
	Parts []Token `parser:"  @(DatePair+) )" expect:"date-spec"`
}

// Group is "group ID RSC ... [params ...] [meta ...]".
type Group struct {
	Pos      Position
	ID       Token           `parser:"@(Word|Key)" expect:"new-resource"`
	Members  []Token         `parser:"@(Word+)" expect:"group-member"`
	Desc     Token           `parser:"@Desc?"`
	Bare     *SetBody        `parser:"@@?" expect:"parameter"`
	Sections []*GroupSection `parser:"@@*"`
}

// Clone is "clone|ms|master ID RSC [params ...] [meta ...]".
type Clone struct {
	Pos      Position
	ID       Token           `parser:"@(Word|Key)" expect:"new-resource"`
	Child    Token           `parser:"@Word" expect:"clone-child"`
	Desc     Token           `parser:"@Desc?"`
	Bare     *SetBody        `parser:"@@?" expect:"parameter"`
	Sections []*GroupSection `parser:"@@*"`
}

// GroupSection is an attribute set of a group or clone.
type GroupSection struct {
	Pos  Position
	Kind Token    `parser:"@('params'|'meta')"`
	Set  *SetBody `parser:"@@?" expect:"section"`
}

// Bundle is "bundle ID docker|podman ... [network ...] [storage ...]
// [primitive RSC] [meta ...]".
type Bundle struct {
	Pos       Position
	ID        Token           `parser:"@(Word|Key)" expect:"new-resource"`
	Desc      Token           `parser:"@Desc?"`
	Container Token           `parser:"@('docker'|'podman')"`
	Image     []Token         `parser:"@(Pair+)?" expect:"bundle-container"`
	Network   Token           `parser:"( @'network'"`
	Net       []Token         `parser:"  @(Pair+)?" expect:"bundle-network"`
	Ports     []*Mapping      `parser:"  @@* )?"`
	Storage   Token           `parser:"( @'storage'"`
	Stores    []*Mapping      `parser:"  @@* )?"`
	Tail      []*BundleMember `parser:"@@*"`
}

// Mapping is a port-mapping or storage-mapping of a bundle.
type Mapping struct {
	Pos   Position
	Kind  Token   `parser:"@('port-mapping'|'storage-mapping')"`
	Pairs []Token `parser:"@(Pair+)?" expect:"bundle-mapping"`
}

// BundleMember is the resource within a bundle, or an attribute set.
type BundleMember struct {
	Pos   Position
	Child Token         `parser:"( 'primitive' @Word" expect:"primitive"`
	Set   *GroupSection `parser:"| @@ )"`
}

// Location is "location ID RSC|/PATTERN/|{ SET } [attributes] SCORE: NODE" or
// with rules.
type Location struct {
	Pos   Position
	ID    Token   `parser:"@(Word|Key)" expect:"new-constraint"`
	Rsc   Token   `parser:"( @Word" expect:"resource"`
	Open  Token   `parser:"| @'{'"`
	Items []Token `parser:"  @((Word|Pair|Bracket)+)? '}' )" expect:"resource"`
	Attrs []Token `parser:"@(Pair+)?" expect:"location-attribute"`
	Score Token   `parser:"( @Label" expect:"score"`
	Node  Token   `parser:"  @(Word|Key)" expect:"node"`
	Rules []*Rule `parser:"| @@+ )"`
}

// Colocation is "colocation ID SCORE: RSC[:ROLE] RSC[:ROLE]" or with sets.
type Colocation struct {
	Pos   Position
	ID    Token   `parser:"@(Word|Key)" expect:"new-constraint"`
	Score Token   `parser:"@Label" expect:"score"`
	Items []Token `parser:"@((Word|Pair|Bracket|Key)+)" expect:"resource-role"`
}

// Order is "order ID [KIND:] RSC[:ACTION] RSC[:ACTION]" or with sets.
type Order struct {
	Pos   Position
	ID    Token   `parser:"@(Word|Key)" expect:"new-constraint"`
	Kind  Token   `parser:"@Label?" expect:"order-kind"`
	Items []Token `parser:"@((Word|Pair|Bracket|Key)+)" expect:"resource-action"`
}

// Ticket is "rsc_ticket ID TICKET: RSC[:ROLE] ...".
type Ticket struct {
	Pos    Position
	ID     Token   `parser:"@(Word|Key)" expect:"new-constraint"`
	Ticket Token   `parser:"@Label" expect:"ticket"`
	Items  []Token `parser:"@((Word|Pair|Bracket|Key)+)" expect:"resource-role"`
}

// Property is "property|rsc_defaults|op_defaults [ID:] [rule ...] NAME=VALUE ...".
type Property struct {
	Pos   Position
	Label Token   `parser:"( @Label | @ID" expect:"set-id"`
	Ref   Token   `parser:"| @IDRef )?" expect:"set"`
	Rules []*Rule `parser:"@@*"`
	Pairs []Token `parser:"@(Pair+)?" expect:"property"`
}

// Topology is "fencing_topology [TARGET] DEVICE[,DEVICE] ...".
type Topology struct {
	Pos   Position
	Items []Token `parser:"@((Word|Label)+)?" expect:"fencing-level"`
}

// Role is "role ID {read|write|deny SPEC}".
type Role struct {
	Pos   Position
	ID    Token      `parser:"@(Word|Key)" expect:"new-acl"`
	Desc  Token      `parser:"@Desc?"`
	Rules []*ACLRule `parser:"@@*"`
}

// ACLRule is one permission of a role.
type ACLRule struct {
	Pos   Position
	Kind  Token   `parser:"@('read'|'write'|'deny')"`
	ID    Token   `parser:"@Label?"`
	Desc  Token   `parser:"@Desc?"`
	Specs []Token `parser:"@(Word+)" expect:"acl-spec"`
}

// Target is "acl_target|acl_group ID ROLE ...".
type Target struct {
	Pos   Position
	ID    Token   `parser:"@(Word|Key)" expect:"new-acl"`
	Roles []Token `parser:"@(Word+)" expect:"acl-role"`
}

// User is "user ID role:ROLE ..." of old schemas.
type User struct {
	Pos   Position
	ID    Token      `parser:"@(Word|Key)" expect:"new-acl"`
	Roles []Token    `parser:"( @(Word+)" expect:"acl-role"`
	Rules []*ACLRule `parser:"| @@+ )"`
}

// Tag is "tag ID OBJECT ...".
type Tag struct {
	Pos     Position
	ID      Token   `parser:"@(Word|Label|Key)" expect:"new-tag"`
	Members []Token `parser:"@(Word+)" expect:"object"`
}

// Alert is "alert ID PATH [attributes ...] [meta ...] [select ...] [to ...]".
type Alert struct {
	Pos   Position
	ID    Token        `parser:"@(Word|Key)" expect:"new-alert"`
	Path  Token        `parser:"@Word" expect:"path"`
	Desc  Token        `parser:"@Desc?"`
	Parts []*AlertPart `parser:"@@*"`
}

// AlertPart is a section of an alert.
type AlertPart struct {
	Pos       Position
	Set       *AlertSet   `parser:"( @@"`
	Select    Token       `parser:"| @'select'"`
	Kinds     []*Selected `parser:"  @@*"`
	Recipient *Recipient  `parser:"| @@ )"`
}

// AlertSet is an attribute set of an alert or a recipient.
type AlertSet struct {
	Pos  Position
	Kind Token    `parser:"@('attributes'|'meta')"`
	Set  *SetBody `parser:"@@?" expect:"section"`
}

// Selected is a kind of events an alert is for.
type Selected struct {
	Pos   Position
	Kind  Token   `parser:"( @('nodes'|'fencing'|'resources')"`
	Attr  Token   `parser:"| @'attributes'"`
	Names []Token `parser:"  '{' @((Word|Key)+) '}' )" expect:"node-attribute-name"`
}

// Recipient is "to VALUE [attributes ...] [meta ...]", perhaps in braces.
type Recipient struct {
	Pos   Position
	Brace Token       `parser:"'to' ( @'{'"`
	Value Token       `parser:"  @Word" expect:"recipient"`
	Desc  Token       `parser:"  @Desc?"`
	Sets  []*AlertSet `parser:"  @@* '}'"`
	Plain Token       `parser:"| @Word" expect:"recipient"`
	About Token       `parser:"  @Desc?"`
	More  []*AlertSet `parser:"  @@* )"`
}

// Monitor is "monitor RSC[:ROLE] INTERVAL[:TIMEOUT]".
type Monitor struct {
	Pos      Position
	Rsc      Token `parser:"@Word" expect:"primitive-role"`
	Interval Token `parser:"@Word" expect:"interval-timeout"`
}

// XML is "xml TEXT".
type XML struct {
	Pos  Position
	Text Token `parser:"@Word" expect:"xml"`
}
