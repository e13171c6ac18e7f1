-- A template for the API Export Definition that Driftwise reads: one row per session, one column per setting.
--
-- The names of OrderWise's tables and columns are not public, so this template has none. Replace everything in <angle brackets>;
-- until then SQL Server refuses the statement. docs/orderwise.md says how to find the names.
-- An alias (AS ...) is the setting's name in Driftwise. Leave out a line whose column you cannot find: Driftwise then reports
-- the rule that needs it as "could not be checked", never as right.

SELECT
    s.<session id>                           AS session_id,
    s.<name>                                 AS name,
    s.<active>                               AS active,
    s.<export>                               AS export,
    s.<schedule>                             AS schedule,
    s.<notification email>                   AS notification_email,

    -- Import Setup
    s.<transfer type>                        AS transfer_type,

    -- Settings
    s.<import orders as>                     AS import_orders_as,

    -- Import Setup > Advanced Settings > Tax Configuration
    s.<use delivery method system tax code>  AS use_delivery_method_system_tax_code,
    s.<use CVariant system tax code>         AS use_cvariant_system_tax_code,

    -- Import Setup > Advanced Settings > Customer Configuration
    s.<add customer contact>                 AS add_customer_contact,
    s.<add delivery address>                 AS add_delivery_address,

    -- Import Setup > Advanced Settings > Variant Configuration
    s.<use CVariant stock location>          AS use_cvariant_stock_location,
    s.<override variant disallow>            AS override_variant_disallow,

    -- Import Setup > Advanced Settings > Customer Validation: four tick-boxes, in any order
    s.<first customer validation option>     AS customer_validation_1,
    s.<second customer validation option>    AS customer_validation_2,
    s.<third customer validation option>     AS customer_validation_3,
    s.<fourth customer validation option>    AS customer_validation_4,

    -- Every other option, under a name of your choice: Driftwise notifies you when one changes. Leave out columns that change
    -- by themselves, such as the time of the last run.
    -- s.<another option>                    AS another_option,

    -- The number of columns of the table. It changes when a release of OrderWise adds a setting, which this list would not show.
    (SELECT COUNT(*) FROM INFORMATION_SCHEMA.COLUMNS
      WHERE TABLE_SCHEMA = '<schema>' AND TABLE_NAME = '<table of sessions>') AS columns_in_table
FROM <schema>.<table of sessions> AS s
