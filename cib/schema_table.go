package cib

// schemaTable is the structure of a CIB in all versions of Pacemaker's schema
// from 1.0 on. A line without indentation opens an element type; below it
// stand what its elements may have:
//
//	@name TYPE [!]        an attribute; ! if it is required
//	name[:TYPE] COUNT     child elements: 1, ?, * or +; their type if it is
//	                      not called like the element
//	choice FORM / FORM    the element has one of the forms; a form lists
//	                      attributes, attributes with (=) or without (!=) a
//	                      certain value, and children;
//	                      those in brackets may be left out, "-" is empty
//	some NAME...          at least one child out of these
//	ordered NAME...       children of these names come in this order; names joined
//	                      by commas may mix
//	unless NAME...        values that the attribute called name may not have
//
// Any line may end with a range of versions: "since V" and "before V".
// Attributes of a choice need a line of their own only for a type other than
// text. Types: text id idref bool int nonneg positive score, pattern types of
// schema_types.go, or values separated by "|", each perhaps with a range as in
// "Promoted>=3.7" or "ping<4.0".
//
// Up to 3.9 the table is complete. Of 4.0 it knows what was taken away; what
// may have been added cannot be told apart from mistakes, so from 3.10 on
// unknown names are reported as warnings only.
const schemaTable = `
cib
 @validate-with text
 @admin_epoch nonneg !
 @epoch nonneg !
 @num_updates nonneg !
 @crm_feature_set text
 @remote-tls-port nonneg
 @remote-clear-port nonneg
 @have-quorum bool
 @dc-uuid text
 @cib-last-written text
 @no-quorum-panic bool
 @update-origin text since 1.2
 @update-client text since 1.2
 @update-user text since 1.2
 @execution-date text since 1.2
 configuration 1
 status:any ?
 ordered configuration status

any
 anything

configuration
 crm_config 1
 rsc_defaults:rsc_defaults ?
 op_defaults:op_defaults ?
 nodes 1
 resources 1
 constraints 1
 fencing-topology ? since 1.2
 acls:acls_old ? since 1.2 before 2.0
 acls ? since 2.0
 tags ? since 1.3
 alerts ? since 2.5

crm_config
 cluster_property_set:properties *
rsc_defaults
 meta_attributes:defaults * before 3.0
 meta_attributes:nvset * since 3.0
op_defaults
 meta_attributes:defaults * before 3.0
 meta_attributes:nvset * since 3.0
defaults
 @id id
 @id-ref idref
 @score score
 rule:rule_old ?
 nvpair:default *
 choice @id-ref / @id [@score] [rule] [nvpair]
default
 @id id !
 @name text !
 @value text

nvset
 @id id
 @id-ref idref
 @score score
 rule ?
 nvpair *
 choice @id-ref / @id [@score] [rule] [nvpair]
nvpair
 @id id
 @id-ref idref since 1.3
 @name text
 @value text
 choice @id @name [@value] before 1.3
 choice @id-ref [@name] / @id @name [@value] since 1.3

properties
 @id id
 @id-ref idref
 @score score
 rule:rule_old ? before 3.0
 rule ? since 3.0
 nvpair:property *
 choice @id-ref / @id [@score] [rule] [nvpair]
property
 @id id
 @id-ref idref since 3.0
 @name text
 @value text
 choice @id @name [@value] before 3.0
 choice @id-ref [@name] / @id @name [@value] since 3.0
 unless cluster_recheck_interval dc_deadtime default-action-timeout default_action_timeout since 3.0
 unless default-migration-threshold default_migration_threshold default-resource-failure-stickiness since 3.0
 unless default_resource_failure_stickiness default-resource-stickiness default_resource_stickiness since 3.0
 unless election_timeout expected-quorum-votes is-managed-default is_managed_default no_quorum_policy since 3.0
 unless notification-agent notification-recipient remove_after_stop shutdown_escalation startup_fencing since 3.0
 unless stonith_action stonith_enabled stop_orphan_actions stop_orphan_resources symmetric_cluster since 3.0
 unless transition_idle_timeout since 3.0
 infrastructure since 3.0

primitive_meta
 @id id
 @id-ref idref
 @score score
 rule ?
 nvpair:primitive_meta_pair *
 choice @id-ref / @id [@score] [rule] [nvpair]
primitive_meta_pair
 @id id
 @id-ref idref since 1.3
 @name text
 @value text
 choice @id @name [@value] before 1.3
 choice @id-ref [@name] / @id @name [@value] since 1.3
 unless isolation isolation-host isolation-instance isolation-wrapper since 3.0

primitive_params
 @id id
 @id-ref idref
 @score score
 rule ?
 nvpair:primitive_params_pair *
 choice @id-ref / @id [@score] [rule] [nvpair]
primitive_params_pair
 @id id
 @id-ref idref since 1.3
 @name text
 @value text
 choice @id @name [@value] before 1.3
 choice @id-ref [@name] / @id @name [@value] since 1.3
 unless pcmk_arg_map pcmk_list_cmd pcmk_monitor_cmd pcmk_off_cmd pcmk_on_cmd pcmk_reboot_cmd since 3.0 before 3.1
 unless pcmk_status_cmd since 3.0 before 3.1

op_meta
 @id id
 @id-ref idref
 @score score
 rule ?
 nvpair:op_meta_pair *
 choice @id-ref / @id [@score] [rule] [nvpair]
op_meta_pair
 @id id
 @id-ref idref since 1.3
 @name text
 @value text
 choice @id @name [@value] before 1.3
 choice @id-ref [@name] / @id @name [@value] since 1.3
 unless requires since 3.0

op_params
 @id id
 @id-ref idref
 @score score
 rule ?
 nvpair:op_params_pair *
 choice @id-ref / @id [@score] [rule] [nvpair]
op_params_pair
 @id id
 @id-ref idref since 1.3
 @name text
 @value text
 choice @id @name [@value] before 1.3
 choice @id-ref [@name] / @id @name [@value] since 1.3
 unless interval-origin start-delay enabled on-fail record-pending role timeout requires since 3.0 before 3.1

rule
 @id id
 @id-ref idref
 @score score
 @score-attribute text
 @boolean-op or|and
 @role text
 expression *
 date_expression:date_expression_old * before 3.9
 date_expression * since 3.9
 rsc_expression * since 3.4
 op_expression * since 3.4
 rule *
 choice @id-ref / @id @score [@boolean-op] [@role] [expression] [date_expression] [rsc_expression] [op_expression] [rule] / @id @score-attribute [@boolean-op] [@role] [expression] [date_expression] [rsc_expression] [op_expression] [rule] before 3.9
 choice @id-ref / @id [@score] [@boolean-op] [@role] [expression] [date_expression] [rsc_expression] [op_expression] [rule] / @id @score-attribute [@boolean-op] [@role] [expression] [date_expression] [rsc_expression] [op_expression] [rule] since 3.9
 some expression date_expression rsc_expression op_expression rule unless id-ref
rule_old
 @id id
 @id-ref idref
 @score score
 @boolean-op or|and
 @role text
 expression:expression_old *
 date_expression:date_expression_old *
 rule:rule_old *
 choice @id-ref / @id @score [@boolean-op] [@role] [expression] [date_expression] [rule] / @id @score-attribute [@boolean-op] [@role] [expression] [date_expression] [rule]
 some expression date_expression rule unless id-ref
expression_old
 @id id !
 @attribute text !
 @operation lt|gt|lte|gte|eq|ne|defined|not_defined !
 @value text
 @type string|number|version
expression
 @id id !
 @attribute text !
 @operation lt|gt|lte|gte|eq|ne|defined|not_defined !
 @value text
 @type string|integer>=3.5|number|version
 @value-source literal|param|meta since 2.9
date_expression
 @id id !
 duration:duration ?
 date_spec ?
 choice @operation=in_range @start [@end] [duration] / @operation=in_range @end [duration] / @operation=gt @start / @operation=lt @end / @operation=date_spec date_spec
date_expression_old
 @id id !
 duration:date_common ?
 date_spec:date_common ?
 choice @operation=in_range [@start] @end / @operation=in_range @start duration / @operation=gt @start / @operation=lt @end / @operation=date_spec date_spec
date_common
 @id id !
 @hours text
 @monthdays text
 @weekdays text
 @yearsdays text
 @months text
 @weeks text
 @years text
 @weekyears text
 @moon text
duration
 @id id !
 @years text
 @months text
 @weeks text
 @days text
 @hours text
 @minutes text
 @seconds text
 @monthdays text before 3.10
 @weekdays text before 3.10
 @yearsdays text before 3.10
 @weekyears text before 3.10
 @moon text before 4.0
date_spec
 @id id !
 @years text
 @months text
 @monthdays text
 @hours text
 @minutes text
 @seconds text
 @yeardays text
 @weekyears text
 @weeks text
 @weekdays text
 @yearsdays text before 3.10
 @moon text before 4.0
rsc_expression
 @id id !
 @class text
 @provider text
 @type text
op_expression
 @id id !
 @name text !
 @interval text

nodes
 node *
node
 @id text !
 @uname text !
 @type normal|member|ping ! before 1.2
 @type normal<3.0|member|ping<4.0|remote>=1.3 since 1.2
 @description text
 @score score since 1.2
 instance_attributes:nvset *
 utilization:nvset * since 1.2

resources
 primitive *
 template * since 1.2
 group *
 clone *
 master:clone * before 4.0
 bundle * since 2.8
primitive
 @id id !
 @class ocf|lsb|heartbeat|stonith|upstart<4.0|service>=1.2|systemd>=1.2|nagios>=1.2<4.0
 @template idref since 1.2
 @description text
 meta_attributes:primitive_meta *
 instance_attributes:primitive_params *
 operations ?
 utilization:nvset * since 1.2
 choice @class=ocf @provider @type / @class!=ocf @type before 1.2
 choice @class=ocf @provider @type / @class!=ocf @type / @template since 1.2
template
 @id id !
 @class ocf|lsb|heartbeat|stonith|upstart<4.0|service>=2.7|systemd>=2.7|nagios>=2.7<4.0 !
 @description text
 meta_attributes:primitive_meta *
 instance_attributes:primitive_params *
 operations ?
 utilization:nvset *
 choice @class=ocf @provider @type / @class!=ocf @type
group
 @id id !
 @description text
 meta_attributes:nvset *
 instance_attributes:nvset *
 primitive +
clone
 @id id !
 @description text
 meta_attributes:nvset *
 instance_attributes:nvset *
 primitive ?
 group ?
 choice primitive / group
operations
 @id id
 @id-ref idref
 op *
op
 @id id !
 @name text !
 @interval text !
 @description text
 @start-delay text
 @interval-origin text
 @timeout text
 @enabled bool
 @record-pending bool
 @role ROLE
 @requires nothing|quorum|fencing|unfencing>=1.3 before 3.0
 @on-fail ignore|block|demote>=3.4|stop|restart|standby|fence|restart-container>=1.2
 meta_attributes:op_meta *
 instance_attributes:op_params *
 choice - / @start-delay / @interval-origin

bundle
 @id id !
 @description text
 meta_attributes:nvset *
 instance_attributes:nvset *
 docker:container ?
 rkt:container ? since 2.10 before 4.0
 podman:container ? since 3.2
 network ?
 storage ?
 primitive ?
 choice docker / rkt / podman
container
 @image text !
 @replicas int
 @replicas-per-host int
 @masters int before 4.0
 @promoted-max int since 3.0
 @run-command text
 @network text
 @options text
 choice - / @masters / @promoted-max
network
 @ip-range-start text
 @control-port int
 @host-interface text
 @host-netmask int
 @add-host bool since 3.0
 port-mapping *
port-mapping
 @id id !
 @port int
 @internal-port int
 @range range
 choice @port [@internal-port] / @range
storage
 storage-mapping *
storage-mapping
 @id id !
 @target-dir text !
 @options text
 choice @source-dir / @source-dir-root

constraints
 rsc_location *
 rsc_colocation *
 rsc_order *
 rsc_ticket * since 1.2
rsc_location
 @id id !
 @rsc idref
 @rsc-pattern text since 2.6
 @role ROLE since 1.2
 @score score
 @node text
 @resource-discovery always|never|exclusive since 2.2
 resource_set * since 1.2
 rule * before 4.0
 rule ? since 4.0
 lifetime ? before 4.0
 choice @rsc [@role] / @rsc-pattern [@role] / resource_set
 choice @score @node / rule
 ordered resource_set rule lifetime
resource_set
 @id id
 @id-ref idref
 @sequential bool
 @require-all bool since 1.2
 @ordering group|listed since 2.1 before 4.0
 @action start|promote|demote|stop
 @role ROLE
 @score score
 @kind Optional|Mandatory|Serialize since 3.0
 resource_ref *
 choice @id-ref / @id [@sequential] [@require-all] [@ordering] [@action] [@role] [@score] resource_ref / @id [@sequential] [@require-all] [@ordering] [@action] [@role] @kind resource_ref
resource_ref
 @id idref !
rsc_colocation
 @id id !
 @score score
 @score-attribute text before 3.0
 @score-attribute-mangle text before 3.0
 @influence text since 3.6
 @rsc idref
 @with-rsc idref
 @node-attribute text
 @rsc-role ROLE
 @with-rsc-role ROLE
 lifetime ? before 4.0
 resource_set *
 choice resource_set / @rsc @with-rsc [@node-attribute] [@rsc-role] [@with-rsc-role]
 choice - / @score / @score-attribute / @score-attribute-mangle
 ordered lifetime resource_set
rsc_order
 @id id !
 @symmetrical bool
 @require-all bool since 2.3
 @score score
 @kind Optional|Mandatory|Serialize
 @first idref
 @then idref
 @first-action start|promote|demote|stop
 @then-action start|promote|demote|stop
 lifetime ? before 4.0
 resource_set *
 choice resource_set / @first @then [@first-action] [@then-action]
 choice - / @score / @kind
 ordered lifetime resource_set
rsc_ticket
 @id id !
 @ticket text !
 @rsc idref
 @rsc-role ROLE
 @loss-policy stop|demote|fence|freeze
 resource_set *
 choice resource_set / @rsc [@rsc-role]
lifetime
 rule +

fencing-topology
 fencing-level *
fencing-level
 @id id !
 @index positive ! before 4.0
 @index 1|2|3|4|5|6|7|8|9 ! since 4.0
 @devices devices !
 @target-attribute text since 2.4
 @target-value text since 2.4
 choice @target / @target-pattern before 2.4
 choice @target / @target-pattern / @target-attribute @target-value since 2.4

acls_old
 acl_user *
 acl_role:acl_role_old *
acl_user
 @id id !
 role_ref:resource_ref *
 read:acl_rule *
 write:acl_rule *
 deny:acl_rule *
 choice - / role_ref / [read] [write] [deny]
acl_role_old
 @id id !
 read:acl_rule *
 write:acl_rule *
 deny:acl_rule *
acl_rule
 @id id !
 @ref idref
 @attribute text
 choice @tag [@ref] / @ref / @xpath
acls
 acl_target *
 acl_group *
 acl_role *
acl_target
 @id text !
 @name text since 3.8
 role:resource_ref *
acl_group
 @id id !
 @name text since 3.8
 role:resource_ref *
acl_role
 @id id !
 @description text
 acl_permission *
acl_permission
 @id id !
 @kind read|write|deny !
 @reference idref
 @description text
 choice @xpath / @reference / @object-type [@attribute]

tags
 tag *
tag
 @id id !
 obj_ref +
obj_ref
 @id idref ! before 3.3
 @id text ! since 3.3

alerts
 alert *
alert
 @id id !
 @description text
 @path text !
 meta_attributes:nvset *
 instance_attributes:nvset *
 select ? since 2.10
 recipient *
 ordered meta_attributes,instance_attributes recipient before 2.10
select
 select_attributes ?
 select_fencing:empty ?
 select_nodes:empty ?
 select_resources:empty ?
select_attributes
 attribute *
attribute
 @id id !
 @name text !
empty
recipient
 @id id !
 @value text !
 @description text
 meta_attributes:nvset *
 instance_attributes:nvset *
`

// schemaTypes are enumerations that several attributes share.
var schemaTypes = map[string]string{
	"ROLE": "Stopped|Started|Promoted>=3.7|Unpromoted>=3.7|Master|Slave",
}
