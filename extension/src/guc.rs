//! Settings of the server and the session.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;

static TENANT_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ENVIRONMENT_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ACTOR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DOORBELL: GucSetting<bool> = GucSetting::<bool>::new(true);
static ACCEPT_PROMOTIONS: GucSetting<bool> = GucSetting::<bool>::new(false);

/// Registers them; called once when the library is loaded.
pub fn register() {
    GucRegistry::define_string_guc(
        c"nexus.tenant_id",
        c"The tenant a gateway acts for in this transaction.",
        c"Read for members of nexus_gateway alone; it moves no tenant's boundary.",
        &TENANT_ID,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"nexus.environment_id",
        c"The environment a gateway acts for in this transaction.",
        c"Read for members of nexus_gateway alone; it moves no tenant's boundary.",
        &ENVIRONMENT_ID,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"nexus.actor",
        c"The API key a gateway acts for in this transaction, for the activity log.",
        c"Read for members of nexus_gateway alone; of other sessions the login is written down.",
        &ACTOR,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"nexus.doorbell",
        c"Whether ingest wakes dispatchers when it commits.",
        c"By nexus.ring_doorbell(), if one sleeps. Gateways turn it off: they ring once for many batches.",
        &DOORBELL,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"nexus.accept_promotions",
        c"Whether dispatchers go on by themselves after a standby was promoted.",
        c"For clusters whose standbys lose nothing. A restore to a point in time is never accepted by itself.",
        &ACCEPT_PROMOTIONS,
        GucContext::Suset,
        GucFlags::default(),
    );
}

/// The tenant a gateway acts for, as set.
pub fn tenant_id() -> Option<CString> {
    TENANT_ID.get()
}

/// The environment a gateway acts for, as set.
pub fn environment_id() -> Option<CString> {
    ENVIRONMENT_ID.get()
}

/// Whether this session's ingest wakes dispatchers by itself.
pub fn rings_doorbell() -> bool {
    DOORBELL.get()
}

/// Whether a promotion needs nobody to accept it.
pub fn accepts_promotions() -> bool {
    ACCEPT_PROMOTIONS.get()
}
