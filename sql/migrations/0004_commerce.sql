-- Golden entities: one row per real thing, projected from the claims of all its source records.
-- Column names are those of core/src/canonical; a test compares the two.
-- Amounts are plain numeric: a real payload has 10.49999998929.
-- Indexes on created_at are the order of the REST lists; those on updated_at serve who asks what is new, and stand where
-- that is worth that an update writes to every index. The statistics tell the planner that an environment has one tenant:
-- policy and query both name them, and it would take the rows of one for a thousandth of a thousandth.

create table nexus.customer (
    tenant_id           uuid not null,
    customer_id         uuid not null,
    environment_id      uuid not null,
    customer_type       text,
    email               text,
    email_key           text,
    email_kind          text,
    phone               text,
    phone_e164          text,
    first_name          text,
    last_name           text,
    full_name           text,
    company_name        text,
    vat_number          text,
    registration_number text,
    language            text,
    accepts_marketing   boolean,
    tax_exempt          boolean,
    default_currency    text,
    source_status       text,
    source_created_at   timestamptz,
    tags                text[],
    custom_fields       jsonb,
    entity_version      bigint not null,
    deleted_at          timestamptz,
    created_at          timestamptz not null,
    updated_at          timestamptz not null,
    constraint customer_customer_type_known check (customer_type in ('person', 'company', 'unknown')),
    constraint customer_email_kind_known check (email_kind in ('personal', 'role', 'relay', 'placeholder')),
    constraint customer_default_currency_form check (default_currency ~ '^[A-Z]{3}$')
) with (fillfactor = 85);
comment on table nexus.customer is 'A person or company that buys.';
comment on column nexus.customer.customer_type is 'person or company.';
comment on column nexus.customer.email is 'As the winning source wrote it.';
comment on column nexus.customer.email_key is 'Trimmed, NFC, lower case: the identity key.';
comment on column nexus.customer.email_kind is 'personal; role (info@ and the like), relay (a marketplace''s) or placeholder e-mails identify nobody.';
comment on column nexus.customer.phone is 'As written.';
comment on column nexus.customer.phone_e164 is '+, country code, number; null where the country is not known.';
comment on column nexus.customer.vat_number is 'As written.';
comment on column nexus.customer.registration_number is 'Chamber of commerce or company number.';
comment on column nexus.customer.language is 'As the source codes it, such as nl or en-GB.';
comment on column nexus.customer.default_currency is 'ISO 4217.';
comment on column nexus.customer.source_status is 'The source''s own word for its state.';
comment on column nexus.customer.source_created_at is 'When the source created it.';
comment on column nexus.customer.tags is 'Tags of the source.';
comment on column nexus.customer.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.customer.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.customer.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.customer.created_at is 'When Nexus first wrote it.';
comment on column nexus.customer.updated_at is 'When Nexus last changed it.';
create index customer_email_key_idx on nexus.customer (tenant_id, email_key);
create index customer_created_at_idx on nexus.customer (tenant_id, environment_id, created_at, customer_id);
create statistics nexus.customer_environment (dependencies) on tenant_id, environment_id from nexus.customer;
create index customer_updated_at_idx on nexus.customer (tenant_id, updated_at);
-- Last, as source_record's is.
alter table nexus.customer add primary key (tenant_id, customer_id);

create table nexus.customer_address (
    tenant_id           uuid not null,
    customer_address_id uuid not null,
    environment_id      uuid not null,
    customer_id         uuid not null,
    connector_id        uuid not null,
    external_id         text not null,
    position            integer not null,
    is_default          boolean,
    name                text,
    company             text,
    line1               text,
    line2               text,
    house_number        text,
    postal_code         text,
    city                text,
    region              text,
    region_code         text,
    country_code        text,
    phone               text,
    primary key (tenant_id, customer_address_id),
    foreign key (tenant_id, customer_id) references nexus.customer
) with (fillfactor = 85);
comment on table nexus.customer_address is 'A customer''s addresses, all from one source.';
comment on column nexus.customer_address.connector_id is 'The source these addresses survive from.';
comment on column nexus.customer_address.external_id is 'The address''s id in its source.';
comment on column nexus.customer_address.position is 'Order in the source, from 1.';
comment on column nexus.customer_address.postal_code is 'As written.';
comment on column nexus.customer_address.country_code is 'ISO 3166-1 alpha-2.';
create index customer_address_customer_id_idx on nexus.customer_address (customer_id);

create table nexus.product (
    tenant_id         uuid not null,
    product_id        uuid not null,
    environment_id    uuid not null,
    title             text,
    brand             text,
    product_type      text,
    status            text,
    source_status     text,
    handle            text,
    description_html  text,
    option_names      text[],
    source_created_at timestamptz,
    tags              text[],
    custom_fields     jsonb,
    entity_version    bigint not null,
    deleted_at        timestamptz,
    created_at        timestamptz not null,
    updated_at        timestamptz not null,
    primary key (tenant_id, product_id),
    constraint product_status_known check (status in ('active', 'draft', 'archived', 'unknown'))
) with (fillfactor = 85);
comment on table nexus.product is 'What is sold, as a catalogue page; what is bought is its variant.';
comment on column nexus.product.brand is 'Vendor or manufacturer.';
comment on column nexus.product.status is 'active, draft or archived.';
comment on column nexus.product.source_status is 'The source''s own word for its state.';
comment on column nexus.product.handle is 'URL slug.';
comment on column nexus.product.option_names is 'Such as size and colour, in order.';
comment on column nexus.product.source_created_at is 'When the source created it.';
comment on column nexus.product.tags is 'Tags of the source.';
comment on column nexus.product.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.product.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.product.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.product.created_at is 'When Nexus first wrote it.';
comment on column nexus.product.updated_at is 'When Nexus last changed it.';
create index product_created_at_idx on nexus.product (tenant_id, environment_id, created_at, product_id);
create statistics nexus.product_environment (dependencies) on tenant_id, environment_id from nexus.product;

create table nexus.product_variant (
    tenant_id          uuid not null,
    product_variant_id uuid not null,
    environment_id     uuid not null,
    product_id         uuid,
    product_birth_id   uuid,
    aliases            text[],
    sku                text,
    sku_key            text,
    gtin               text,
    gtin_key           text,
    title              text,
    options            jsonb,
    position           bigint,
    price              numeric,
    compare_at_price   numeric,
    price_currency     text,
    price_includes_tax boolean,
    unit_cost          numeric,
    cost_currency      text,
    weight_grams       numeric,
    uom                text,
    pack_quantity      numeric,
    is_stocked         boolean,
    source_created_at  timestamptz,
    tags               text[],
    custom_fields      jsonb,
    entity_version     bigint not null,
    deleted_at         timestamptz,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    primary key (tenant_id, product_variant_id),
    constraint product_variant_price_currency_form check (price_currency ~ '^[A-Z]{3}$'),
    constraint product_variant_cost_currency_form check (cost_currency ~ '^[A-Z]{3}$')
) with (fillfactor = 85);
comment on table nexus.product_variant is 'What is stocked, priced and put on an order line.';
comment on column nexus.product_variant.product_id is 'Its product; the row may arrive later.';
comment on column nexus.product_variant.product_birth_id is 'What the source named as its product.';
comment on column nexus.product_variant.aliases is 'Other ids the source refers to it by.';
comment on column nexus.product_variant.sku is 'As written.';
comment on column nexus.product_variant.sku_key is 'Trimmed, upper case, leading zeros kept: the identity key.';
comment on column nexus.product_variant.gtin is 'As written.';
comment on column nexus.product_variant.gtin_key is '14 digits, when the check digit is right.';
comment on column nexus.product_variant.options is 'Values of the product''s options by name.';
comment on column nexus.product_variant.position is 'Order within the product, from 1.';
comment on column nexus.product_variant.price is 'Per unit, in price_currency.';
comment on column nexus.product_variant.compare_at_price is 'The price it is reduced from.';
comment on column nexus.product_variant.price_currency is 'ISO 4217; null where the source prices in the shop''s currency without naming it.';
comment on column nexus.product_variant.unit_cost is 'What the seller pays per unit.';
comment on column nexus.product_variant.cost_currency is 'ISO 4217.';
comment on column nexus.product_variant.weight_grams is 'Grams.';
comment on column nexus.product_variant.uom is 'Unit of measure.';
comment on column nexus.product_variant.pack_quantity is 'Pieces in one unit.';
comment on column nexus.product_variant.is_stocked is 'The source keeps stock of it.';
comment on column nexus.product_variant.source_created_at is 'When the source created it.';
comment on column nexus.product_variant.tags is 'Tags of the source.';
comment on column nexus.product_variant.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.product_variant.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.product_variant.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.product_variant.created_at is 'When Nexus first wrote it.';
comment on column nexus.product_variant.updated_at is 'When Nexus last changed it.';
create index product_variant_product_id_idx on nexus.product_variant (product_id);
create index product_variant_product_birth_id_idx on nexus.product_variant (product_birth_id);
create index product_variant_sku_key_idx on nexus.product_variant (tenant_id, sku_key);
create index product_variant_gtin_key_idx on nexus.product_variant (tenant_id, gtin_key);

create table nexus.location (
    tenant_id         uuid not null,
    location_id       uuid not null,
    environment_id    uuid not null,
    name              text,
    location_type     text,
    country_code      text,
    address           jsonb,
    is_active         boolean,
    source_created_at timestamptz,
    custom_fields     jsonb,
    entity_version    bigint not null,
    deleted_at        timestamptz,
    created_at        timestamptz not null,
    updated_at        timestamptz not null,
    primary key (tenant_id, location_id),
    constraint location_location_type_known check (location_type in ('warehouse', 'store', 'fulfillment_service', 'virtual', 'unknown'))
) with (fillfactor = 85);
comment on table nexus.location is 'A place that holds stock.';
comment on column nexus.location.location_type is 'warehouse, store, fulfillment_service or virtual.';
comment on column nexus.location.country_code is 'ISO 3166-1 alpha-2.';
comment on column nexus.location.source_created_at is 'When the source created it.';
comment on column nexus.location.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.location.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.location.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.location.created_at is 'When Nexus first wrote it.';
comment on column nexus.location.updated_at is 'When Nexus last changed it.';

create table nexus.inventory_level (
    tenant_id                uuid not null,
    inventory_level_id       uuid not null,
    environment_id           uuid not null,
    connector_id             uuid not null,
    is_authoritative         boolean not null,
    product_variant_id       uuid,
    product_variant_birth_id uuid,
    location_id              uuid,
    location_birth_id        uuid,
    on_hand                  numeric,
    available                numeric,
    committed                numeric,
    incoming                 numeric,
    unavailable              numeric,
    observed_at              timestamptz,
    custom_fields            jsonb,
    entity_version           bigint not null,
    deleted_at               timestamptz,
    created_at               timestamptz not null,
    updated_at               timestamptz not null,
    primary key (tenant_id, inventory_level_id)
) with (fillfactor = 85);
comment on table nexus.inventory_level is 'How much of a variant a source says is at a location. Never blended over sources.';
comment on column nexus.inventory_level.connector_id is 'The source that says so.';
comment on column nexus.inventory_level.is_authoritative is 'This source owns the stock of the location; the others are mirrors.';
comment on column nexus.inventory_level.product_variant_id is 'The variant; equal to product_variant_birth_id until the variant is known.';
comment on column nexus.inventory_level.product_variant_birth_id is 'What the source named as the variant.';
comment on column nexus.inventory_level.location_birth_id is 'What the source named as the location.';
comment on column nexus.inventory_level.on_hand is 'Physically there.';
comment on column nexus.inventory_level.available is 'Free to sell.';
comment on column nexus.inventory_level.committed is 'Promised to orders.';
comment on column nexus.inventory_level.incoming is 'On its way in.';
comment on column nexus.inventory_level.unavailable is 'There, but not to be sold.';
comment on column nexus.inventory_level.observed_at is 'When the source counted.';
comment on column nexus.inventory_level.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.inventory_level.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.inventory_level.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.inventory_level.created_at is 'When Nexus first wrote it.';
comment on column nexus.inventory_level.updated_at is 'When Nexus last changed it.';
create index inventory_level_product_variant_id_idx on nexus.inventory_level (product_variant_id);
create index inventory_level_product_variant_birth_id_idx on nexus.inventory_level (product_variant_birth_id);
create index inventory_level_location_birth_id_idx on nexus.inventory_level (location_birth_id);
create index inventory_level_created_at_idx on nexus.inventory_level (tenant_id, environment_id, created_at, inventory_level_id);
create statistics nexus.inventory_level_environment (dependencies) on tenant_id, environment_id from nexus.inventory_level;

create table nexus.sales_order (
    tenant_id          uuid not null,
    sales_order_id     uuid not null,
    environment_id     uuid not null,
    customer_id        uuid,
    customer_birth_id  uuid,
    order_number       text,
    order_number_key   text,
    external_reference text,
    channel            text,
    order_status       text,
    financial_status   text,
    fulfillment_status text,
    source_status      text,
    currency           text,
    prices_include_tax boolean,
    subtotal_amount    numeric,
    discount_amount    numeric,
    shipping_amount    numeric,
    tax_amount         numeric,
    total_amount       numeric,
    refunded_amount    numeric,
    base_currency      text,
    base_total_amount  numeric,
    ordered_at         timestamptz,
    -- A column and no expression: below row-level security an index is used only where nothing has to be computed.
    ordered_on         date generated always as ((ordered_at at time zone 'UTC')::date) stored,
    email_key          text generated always as (lower(btrim(email))) stored,
    cancelled_at       timestamptz,
    closed_at          timestamptz,
    cancel_reason      text,
    is_test            boolean,
    email              text,
    phone              text,
    billing_address    jsonb,
    shipping_address   jsonb,
    note               text,
    payment_methods    text[],
    source_created_at  timestamptz,
    tags               text[],
    custom_fields      jsonb,
    entity_version     bigint not null,
    deleted_at         timestamptz,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    constraint sales_order_order_status_known check (order_status in ('draft', 'pending', 'confirmed', 'on_hold', 'completed', 'cancelled', 'unknown')),
    constraint sales_order_financial_status_known check (financial_status in ('pending', 'authorized', 'partially_paid', 'paid', 'partially_refunded', 'refunded', 'voided', 'failed', 'unknown')),
    constraint sales_order_fulfillment_status_known check (fulfillment_status in ('unfulfilled', 'in_progress', 'on_hold', 'partially_fulfilled', 'fulfilled', 'delivered', 'partially_returned', 'returned', 'cancelled', 'unknown')),
    constraint sales_order_currency_form check (currency ~ '^[A-Z]{3}$'),
    constraint sales_order_base_currency_form check (base_currency ~ '^[A-Z]{3}$')
) with (fillfactor = 85);
comment on table nexus.sales_order is 'A sale. Amounts are what the buyer saw, originals: refunds are apart in refunded_amount.';
comment on column nexus.sales_order.customer_id is 'Its customer; null for a sale without one.';
comment on column nexus.sales_order.customer_birth_id is 'What the source named as its customer.';
comment on column nexus.sales_order.order_number is 'What people call it, as written.';
comment on column nexus.sales_order.order_number_key is 'Without # and case, to match across systems.';
comment on column nexus.sales_order.external_reference is 'Another system''s number for it, such as a purchase order.';
comment on column nexus.sales_order.channel is 'Where it was sold: web, pos, …';
comment on column nexus.sales_order.order_status is 'Where the sale stands, payment and shipping aside.';
comment on column nexus.sales_order.financial_status is 'Where payment stands.';
comment on column nexus.sales_order.fulfillment_status is 'Where shipping stands.';
comment on column nexus.sales_order.source_status is 'The source''s own words.';
comment on column nexus.sales_order.currency is 'ISO 4217, of every amount not called base.';
comment on column nexus.sales_order.prices_include_tax is 'Whether unit prices and the subtotal include tax.';
comment on column nexus.sales_order.subtotal_amount is 'Lines before discounts, without shipping; includes tax where prices_include_tax.';
comment on column nexus.sales_order.discount_amount is 'All discounts, positive.';
comment on column nexus.sales_order.shipping_amount is 'Shipping.';
comment on column nexus.sales_order.tax_amount is 'All taxes.';
comment on column nexus.sales_order.total_amount is 'What the buyer was to pay, tax included.';
comment on column nexus.sales_order.refunded_amount is 'Paid back so far, positive.';
comment on column nexus.sales_order.base_currency is 'The shop''s own currency, ISO 4217.';
comment on column nexus.sales_order.base_total_amount is 'total_amount in base_currency.';
comment on column nexus.sales_order.ordered_on is 'The day of ordered_at in UTC.';
comment on column nexus.sales_order.closed_at is 'When the source considered it done.';
comment on column nexus.sales_order.email is 'The buyer''s, as written on the order.';
comment on column nexus.sales_order.email_key is 'email trimmed and in lower case, to find orders by.';
comment on column nexus.sales_order.billing_address is 'As on the order.';
comment on column nexus.sales_order.shipping_address is 'As on the order.';
comment on column nexus.sales_order.payment_methods is 'As the source calls them.';
comment on column nexus.sales_order.source_created_at is 'When the source created it.';
comment on column nexus.sales_order.tags is 'Tags of the source.';
comment on column nexus.sales_order.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.sales_order.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.sales_order.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.sales_order.created_at is 'When Nexus first wrote it.';
comment on column nexus.sales_order.updated_at is 'When Nexus last changed it.';
create index sales_order_customer_id_idx on nexus.sales_order (customer_id);
create index sales_order_order_number_key_idx on nexus.sales_order (tenant_id, order_number_key);
-- The tenant last: where many orders share an address this index is small, so that to find an order by its id in it, reading
-- all of a tenant's, looked cheaper than by the key.
create index sales_order_email_key_idx on nexus.sales_order (email_key, tenant_id);
create index sales_order_ordered_at_idx on nexus.sales_order (tenant_id, ordered_at);
create index sales_order_ordered_on_idx on nexus.sales_order (tenant_id, ordered_on);
create index sales_order_created_at_idx on nexus.sales_order (tenant_id, environment_id, created_at, sales_order_id);
create statistics nexus.sales_order_environment (dependencies) on tenant_id, environment_id from nexus.sales_order;
create index sales_order_updated_at_idx on nexus.sales_order (tenant_id, updated_at);
-- Last, as source_record's is.
alter table nexus.sales_order add primary key (tenant_id, sales_order_id);

create table nexus.sales_order_line (
    tenant_id                uuid not null,
    sales_order_line_id      uuid not null,
    environment_id           uuid not null,
    sales_order_id           uuid not null,
    connector_id             uuid not null,
    external_id              text not null,
    position                 integer not null,
    line_type                text,
    product_variant_id       uuid,
    product_variant_birth_id uuid,
    sku                      text,
    gtin                     text,
    title                    text,
    variant_title            text,
    quantity                 numeric,
    quantity_fulfilled       numeric,
    quantity_cancelled       numeric,
    quantity_refunded        numeric,
    unit_price               numeric,
    discount_amount          numeric,
    tax_amount               numeric,
    total_amount             numeric,
    tax_rate                 numeric,
    custom_fields            jsonb,
    primary key (tenant_id, sales_order_line_id),
    foreign key (tenant_id, sales_order_id) references nexus.sales_order,
    constraint sales_order_line_line_type_known check (line_type in ('item', 'shipping', 'discount', 'fee', 'tip', 'gift_card', 'comment', 'unknown'))
) with (fillfactor = 85);
comment on table nexus.sales_order_line is 'The lines of an order, all from one source, so that revenue is never counted twice.';
comment on column nexus.sales_order_line.connector_id is 'The source these lines survive from.';
comment on column nexus.sales_order_line.external_id is 'The line''s id in its source.';
comment on column nexus.sales_order_line.position is 'Order in the source, from 1.';
comment on column nexus.sales_order_line.line_type is 'item, shipping, discount, fee, tip, gift_card or comment.';
comment on column nexus.sales_order_line.product_variant_id is 'The variant; equal to product_variant_birth_id until it is known.';
comment on column nexus.sales_order_line.product_variant_birth_id is 'What the source named as the variant.';
comment on column nexus.sales_order_line.quantity is 'Ordered.';
comment on column nexus.sales_order_line.unit_price is 'As quoted; see sales_order.prices_include_tax.';
comment on column nexus.sales_order_line.discount_amount is 'Positive.';
comment on column nexus.sales_order_line.total_amount is 'After discounts, as the source states it.';
comment on column nexus.sales_order_line.tax_rate is 'Fraction: 0.21 is 21 percent.';
comment on column nexus.sales_order_line.custom_fields is 'What the source has beyond these columns.';
create index sales_order_line_sales_order_id_idx on nexus.sales_order_line (sales_order_id);
create index sales_order_line_product_variant_birth_id_idx on nexus.sales_order_line (product_variant_birth_id);

create table nexus.fulfillment (
    tenant_id            uuid not null,
    fulfillment_id       uuid not null,
    environment_id       uuid not null,
    sales_order_id       uuid,
    sales_order_birth_id uuid,
    location_id          uuid,
    location_birth_id    uuid,
    status               text,
    source_status        text,
    carrier              text,
    service              text,
    tracking_numbers     text[],
    tracking_urls        text[],
    shipped_at           timestamptz,
    delivered_at         timestamptz,
    source_created_at    timestamptz,
    custom_fields        jsonb,
    entity_version       bigint not null,
    deleted_at           timestamptz,
    created_at           timestamptz not null,
    updated_at           timestamptz not null,
    constraint fulfillment_status_known check (status in ('pending', 'in_progress', 'shipped', 'delivered', 'cancelled', 'failed', 'unknown'))
) with (fillfactor = 85);
comment on table nexus.fulfillment is 'What left, or is to leave, for the buyer.';
comment on column nexus.fulfillment.sales_order_id is 'Its order; the row may arrive later.';
comment on column nexus.fulfillment.sales_order_birth_id is 'What the source named as its order.';
comment on column nexus.fulfillment.location_id is 'Where it leaves from.';
comment on column nexus.fulfillment.location_birth_id is 'What the source named as the location.';
comment on column nexus.fulfillment.status is 'Where it stands.';
comment on column nexus.fulfillment.source_status is 'The source''s own words.';
comment on column nexus.fulfillment.service is 'The carrier''s service.';
comment on column nexus.fulfillment.source_created_at is 'When the source created it.';
comment on column nexus.fulfillment.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.fulfillment.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.fulfillment.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.fulfillment.created_at is 'When Nexus first wrote it.';
comment on column nexus.fulfillment.updated_at is 'When Nexus last changed it.';
create index fulfillment_sales_order_id_idx on nexus.fulfillment (sales_order_id);
create index fulfillment_location_birth_id_idx on nexus.fulfillment (location_birth_id);
-- Last, as source_record's is.
alter table nexus.fulfillment add primary key (tenant_id, fulfillment_id);

create table nexus.fulfillment_line (
    tenant_id                    uuid not null,
    fulfillment_line_id          uuid not null,
    environment_id               uuid not null,
    fulfillment_id               uuid not null,
    connector_id                 uuid not null,
    external_id                  text not null,
    position                     integer not null,
    sales_order_line_external_id text,
    product_variant_id           uuid,
    product_variant_birth_id     uuid,
    sku                          text,
    title                        text,
    quantity                     numeric,
    primary key (tenant_id, fulfillment_line_id),
    foreign key (tenant_id, fulfillment_id) references nexus.fulfillment
) with (fillfactor = 85);
comment on table nexus.fulfillment_line is 'What is in a fulfillment.';
comment on column nexus.fulfillment_line.connector_id is 'The source these lines survive from.';
comment on column nexus.fulfillment_line.external_id is 'The line''s id in its source.';
comment on column nexus.fulfillment_line.position is 'Order in the source, from 1.';
comment on column nexus.fulfillment_line.sales_order_line_external_id is 'The order line''s id in the same source.';
comment on column nexus.fulfillment_line.product_variant_id is 'The variant; equal to product_variant_birth_id until it is known.';
comment on column nexus.fulfillment_line.product_variant_birth_id is 'What the source named as the variant.';
create index fulfillment_line_fulfillment_id_idx on nexus.fulfillment_line (fulfillment_id);
create index fulfillment_line_product_variant_birth_id_idx on nexus.fulfillment_line (product_variant_birth_id);

create table nexus.refund (
    tenant_id            uuid not null,
    refund_id            uuid not null,
    environment_id       uuid not null,
    sales_order_id       uuid,
    sales_order_birth_id uuid,
    currency             text,
    amount               numeric,
    tax_amount           numeric,
    shipping_amount      numeric,
    reason               text,
    note                 text,
    source_status        text,
    refunded_at          timestamptz,
    source_created_at    timestamptz,
    custom_fields        jsonb,
    entity_version       bigint not null,
    deleted_at           timestamptz,
    created_at           timestamptz not null,
    updated_at           timestamptz not null,
    constraint refund_currency_form check (currency ~ '^[A-Z]{3}$')
) with (fillfactor = 85);
comment on table nexus.refund is 'Money given back, and what came back for it.';
comment on column nexus.refund.sales_order_id is 'Its order; the row may arrive later.';
comment on column nexus.refund.sales_order_birth_id is 'What the source named as its order.';
comment on column nexus.refund.currency is 'ISO 4217, of every amount.';
comment on column nexus.refund.amount is 'Given back in all, positive, tax included.';
comment on column nexus.refund.tax_amount is 'The tax in it.';
comment on column nexus.refund.shipping_amount is 'The shipping in it.';
comment on column nexus.refund.source_status is 'The source''s own words.';
comment on column nexus.refund.source_created_at is 'When the source created it.';
comment on column nexus.refund.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.refund.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.refund.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.refund.created_at is 'When Nexus first wrote it.';
comment on column nexus.refund.updated_at is 'When Nexus last changed it.';
create index refund_sales_order_id_idx on nexus.refund (sales_order_id);
-- Last, as source_record's is.
alter table nexus.refund add primary key (tenant_id, refund_id);

create table nexus.refund_line (
    tenant_id                    uuid not null,
    refund_line_id               uuid not null,
    environment_id               uuid not null,
    refund_id                    uuid not null,
    connector_id                 uuid not null,
    external_id                  text not null,
    position                     integer not null,
    sales_order_line_external_id text,
    product_variant_id           uuid,
    product_variant_birth_id     uuid,
    sku                          text,
    title                        text,
    quantity                     numeric,
    amount                       numeric,
    tax_amount                   numeric,
    is_restocked                 boolean,
    primary key (tenant_id, refund_line_id),
    foreign key (tenant_id, refund_id) references nexus.refund
) with (fillfactor = 85);
comment on table nexus.refund_line is 'What a refund is for.';
comment on column nexus.refund_line.connector_id is 'The source these lines survive from.';
comment on column nexus.refund_line.external_id is 'The line''s id in its source.';
comment on column nexus.refund_line.position is 'Order in the source, from 1.';
comment on column nexus.refund_line.sales_order_line_external_id is 'The order line''s id in the same source.';
comment on column nexus.refund_line.product_variant_id is 'The variant; equal to product_variant_birth_id until it is known.';
comment on column nexus.refund_line.product_variant_birth_id is 'What the source named as the variant.';
comment on column nexus.refund_line.amount is 'Positive.';
comment on column nexus.refund_line.is_restocked is 'Whether it went back to stock.';
create index refund_line_refund_id_idx on nexus.refund_line (refund_id);
create index refund_line_product_variant_birth_id_idx on nexus.refund_line (product_variant_birth_id);

create table nexus.payment (
    tenant_id               uuid not null,
    payment_id              uuid not null,
    environment_id          uuid not null,
    sales_order_id          uuid,
    sales_order_birth_id    uuid,
    refund_id               uuid,
    refund_birth_id         uuid,
    parent_payment_id       uuid,
    parent_payment_birth_id uuid,
    payment_kind            text,
    status                  text,
    source_status           text,
    gateway                 text,
    gateway_reference       text,
    method                  text,
    currency                text,
    amount                  numeric,
    error_code              text,
    processed_at            timestamptz,
    source_created_at       timestamptz,
    custom_fields           jsonb,
    entity_version          bigint not null,
    deleted_at              timestamptz,
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    primary key (tenant_id, payment_id),
    constraint payment_payment_kind_known check (payment_kind in ('authorization', 'capture', 'sale', 'refund', 'void', 'chargeback', 'unknown')),
    constraint payment_status_known check (status in ('pending', 'succeeded', 'failed', 'cancelled', 'unknown')),
    constraint payment_currency_form check (currency ~ '^[A-Z]{3}$')
) with (fillfactor = 85);
comment on table nexus.payment is 'A movement of money, or an attempt at one.';
comment on column nexus.payment.sales_order_id is 'Its order; the row may arrive later.';
comment on column nexus.payment.sales_order_birth_id is 'What the source named as its order.';
comment on column nexus.payment.refund_id is 'The refund it pays out.';
comment on column nexus.payment.refund_birth_id is 'What the source named as the refund.';
comment on column nexus.payment.parent_payment_id is 'The payment it captures, refunds or voids.';
comment on column nexus.payment.parent_payment_birth_id is 'What the source named as that payment.';
comment on column nexus.payment.payment_kind is 'Which way the money moves, or is held.';
comment on column nexus.payment.source_status is 'The source''s own words.';
comment on column nexus.payment.gateway is 'Who moves it.';
comment on column nexus.payment.gateway_reference is 'The gateway''s id of it.';
comment on column nexus.payment.method is 'Such as ideal or visa.';
comment on column nexus.payment.currency is 'ISO 4217.';
comment on column nexus.payment.amount is 'Positive; payment_kind gives the direction.';
comment on column nexus.payment.error_code is 'Why it failed, in the gateway''s words.';
comment on column nexus.payment.source_created_at is 'When the source created it.';
comment on column nexus.payment.custom_fields is 'What the source has beyond these columns.';
comment on column nexus.payment.entity_version is 'Rises with every change of this row; domain events carry it.';
comment on column nexus.payment.deleted_at is 'When every source had deleted it; null while one still has it.';
comment on column nexus.payment.created_at is 'When Nexus first wrote it.';
comment on column nexus.payment.updated_at is 'When Nexus last changed it.';
create index payment_sales_order_id_idx on nexus.payment (sales_order_id);
