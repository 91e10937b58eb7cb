//! Profiles and their packages.

use database::change;
use database::columns::Columns;
use database::seal::MasterKey;
use identities::Discreet;
use identities::{Eid, Iccid};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row, query};
use zeroize::Zeroizing;

use super::rows::{PROFILE, integer, open_package, profile, profile_with, whole_profile};
use super::{Query, SqlStore, unique};
use crate::profile::{Order, Profile, ProfileState};
use crate::sealed;
use crate::store::{Changes, Damaged, Progress, StoreError};

impl SqlStore {
    /// The profile with this ICCID.
    pub async fn profile(&self, iccid: &Iccid) -> Result<Option<Profile>, StoreError> {
        let sql = format!("SELECT {PROFILE} WHERE iccid = $1");
        query(AssertSqlSafe(sql))
            .bind(iccid.octets())
            .fetch_optional(self.pool())
            .await?
            .as_ref()
            .map(|row| self.read(row))
            .transpose()
    }

    /// The profile ordered under this matchingId.
    pub async fn profile_by_matching_id(&self, matching_id: &str) -> Result<Option<Profile>, StoreError> {
        let sql = format!("SELECT {PROFILE} WHERE matching_id = $1");
        query(AssertSqlSafe(sql))
            .bind(matching_id)
            .fetch_optional(self.pool())
            .await?
            .as_ref()
            .map(|row| self.read(row))
            .transpose()
    }

    /// The oldest downloadable profile ordered for this eUICC without a matchingId: the default SM-DP+ case.
    pub async fn profile_by_eid(&self, eid: &Eid) -> Result<Option<Profile>, StoreError> {
        let sql = format!(
            "SELECT {PROFILE} WHERE eid = $1 AND matching_id IS NULL AND state IN ($2, $3) \
             ORDER BY changed_at, iccid LIMIT 1 OFFSET $4"
        );
        let eid = eid.octets().to_vec();
        let states = ProfileState::DOWNLOADABLE.map(ProfileState::name);
        let bind = |query: Query<'static>| states.into_iter().fold(query.bind(eid.clone()), Query::bind);
        self.first(&sql, bind, |row| self.read(row)).await
    }

    /// The oldest available profile of this type whose package can be read: of `operator`'s own, or of those without an
    /// owner.
    pub async fn available_profile(
        &self,
        profile_type: &str,
        operator: Option<&str>,
    ) -> Result<Option<Profile>, StoreError> {
        let sql = format!(
            "SELECT package, {PROFILE} WHERE profile_type = $1 AND state = $3 AND (operator IS NULL OR operator = $2) \
             ORDER BY operator IS NULL, added_at, iccid LIMIT 1 OFFSET $4"
        );
        let state = ProfileState::Available.name();
        let (profile_type, operator) = (profile_type.to_owned(), operator.map(str::to_owned));
        let bind = |query: Query<'static>| query.bind(profile_type.clone()).bind(operator.clone()).bind(state);
        self.first(&sql, bind, |row| self.read_whole(row)).await
    }

    /// Owners of the profiles of this type, in any state.
    pub async fn owners_of_type(&self, profile_type: &str) -> Result<Vec<Option<String>>, StoreError> {
        let rows = query("SELECT DISTINCT operator FROM profile WHERE profile_type = $1").bind(profile_type);
        rows.fetch_all(self.pool()).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// All profiles that can be read, oldest first; see [`damaged`](Self::damaged).
    pub async fn profiles(&self) -> Result<Vec<Profile>, StoreError> {
        let sql = format!("SELECT {PROFILE} ORDER BY added_at, iccid");
        let rows = query(AssertSqlSafe(sql)).fetch_all(self.pool()).await?;
        Ok(rows.iter().filter_map(|row| self.read(row).ok()).collect())
    }

    /// Profiles that exist but cannot be read, or whose packages cannot; those are listed too.
    pub async fn damaged_profiles(&self) -> Result<Vec<Damaged>, StoreError> {
        let mut damaged = Vec::new();
        for row in query("SELECT iccid FROM profile ORDER BY added_at, iccid").fetch_all(self.pool()).await? {
            // One package at a time.
            let iccid: Vec<u8> = row.try_get(0)?;
            let sql = format!("SELECT package, {PROFILE} WHERE iccid = $1");
            let row = query(AssertSqlSafe(sql)).bind(&iccid).fetch_optional(self.pool()).await?;
            if let Some(Err(error)) = row.map(|row| self.read_whole(&row)) {
                let why = match error {
                    StoreError::DamagedProfile { why, .. } => why,
                    other => other.to_string(),
                };
                damaged.push(Damaged { what: "profile", name: Iccid::from(iccid.as_slice()).to_string(), why });
            }
        }
        Ok(damaged)
    }

    /// The unprotected package of a profile.
    pub async fn package(&self, iccid: &Iccid) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let row = query("SELECT package FROM profile WHERE iccid = $1").bind(iccid.octets());
        let Some(row) = row.fetch_optional(self.pool()).await? else { return Ok(None) };
        open_package(&row, &self.key, iccid).map(Some)
    }

    /// Adds new profiles, each with its package: all of them, or none. For an existing profile whose package or
    /// metadata cannot be read, those are replaced, and its state and order stay. A profile that cannot be read at all
    /// is replaced, unless it may be on an eUICC.
    ///
    /// # Errors
    ///
    /// [`StoreError::ProfileExists`] names the first that exists already, or is given twice;
    /// [`StoreError::MayBeOnEuicc`] the first that could reach a second eUICC.
    pub async fn add_profiles(&self, profiles: &[(Profile, &[u8])]) -> Result<(), StoreError> {
        change!(self.database, |tx| -> StoreError {
            for (profile, package) in profiles {
                add(&mut *tx, &self.key, profile, package).await?;
            }
        })
    }

    /// Writes a profile back; see [`apply`](Self::apply).
    pub async fn update_profile(&self, profile: &Profile) -> Result<(), StoreError> {
        self.apply(&Changes { profile: Some(profile), ..Changes::default() }).await
    }

    /// Writes a profile back whose order has ended by decree, forgets the sessions that were about it, and queues what its
    /// operator is told.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it has changed since it was read.
    pub async fn reset_profile(&self, profile: &Profile, told: Option<&Progress>) -> Result<(), StoreError> {
        change!(self.database, |tx| -> StoreError {
            update(&mut *tx, &self.key, profile).await?;
            without_sessions(&mut *tx, profile.iccid(), told).await?;
        })
    }

    /// Removes a profile with its package, forgets the sessions that were about it, and queues what its operator is told.
    /// Notifications that eUICCs sent about it stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it has changed since it was read, or is gone.
    pub async fn remove_profile(&self, profile: &Profile, told: Option<&Progress>) -> Result<(), StoreError> {
        change!(self.database, |tx| -> StoreError {
            let remove = query("DELETE FROM profile WHERE iccid = $1 AND revision = $2");
            let remove = remove.bind(profile.iccid().octets()).bind(profile.revision);
            if remove.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(StoreError::Conflict("the profile"));
            }
            without_sessions(&mut *tx, profile.iccid(), told).await?;
        })
    }

    fn read(&self, row: &AnyRow) -> Result<Profile, StoreError> {
        profile(row, &self.key)
    }

    /// The same for a row including the package, if that can be read.
    pub(super) fn read_whole(&self, row: &AnyRow) -> Result<Profile, StoreError> {
        whole_profile(row, &self.key)
    }

    /// The first of the profiles found by a statement that `read` can read. The last bound value is how many are
    /// skipped.
    async fn first(
        &self,
        sql: &str,
        bind: impl Fn(Query<'static>) -> Query<'static> + Send,
        read: impl Fn(&AnyRow) -> Result<Profile, StoreError> + Send,
    ) -> Result<Option<Profile>, StoreError> {
        for passed in 0_i64.. {
            let next = bind(query(AssertSqlSafe(sql))).bind(passed);
            let Some(row) = next.fetch_optional(self.pool()).await? else { break };
            match read(&row) {
                Ok(profile) => return Ok(Some(profile)),
                Err(error) => tracing::error!(error = %Discreet(&error), "passed over"),
            }
        }
        Ok(None)
    }
}

async fn add(
    connection: &mut AnyConnection,
    key: &MasterKey,
    profile: &Profile,
    package: &[u8],
) -> Result<(), StoreError> {
    let there =
        query(AssertSqlSafe(format!("SELECT package, {PROFILE} WHERE iccid = $1"))).bind(profile.iccid().octets());
    if let Some(there) = there.fetch_optional(&mut *connection).await? {
        if whole_profile(&there, key).is_ok() {
            return Err(StoreError::ProfileExists(profile.iccid().clone()));
        }
        if profile_with(&there, key, profile.metadata.clone()).is_ok() {
            // Its state and order are readable, and kept.
            return mend_profile(connection, key, profile, package).await;
        }
        if let Some(state) = may_be_on_euicc(&there) {
            return Err(StoreError::MayBeOnEuicc { iccid: profile.iccid().clone(), state });
        }
        let remove = query("DELETE FROM profile WHERE iccid = $1").bind(profile.iccid().octets());
        remove.execute(&mut *connection).await?;
    }
    let row = columns(key, profile)?
        .set("iccid", profile.iccid().octets())
        .set("package", sealed::seal_package(key, profile.iccid(), package)?)
        .set("required_capability", integer(profile.requirements.uicc_capability.bits()))
        .set("added_at", integer(profile.added_at))
        .set("revision", profile.revision);
    let inserted = row.insert("profile").execute(connection).await;
    match unique(inserted, "the profile") {
        Err(StoreError::Exists(_)) => Err(StoreError::ProfileExists(profile.iccid().clone())),
        other => other.map(drop),
    }
}

/// Replaces package and metadata of a profile, with the package's requirements. It counts as an update, so that an
/// earlier read does not overwrite it.
async fn mend_profile(
    connection: &mut AnyConnection,
    key: &MasterKey,
    profile: &Profile,
    package: &[u8],
) -> Result<(), StoreError> {
    let mended = Columns::new()
        .set("package", sealed::seal_package(key, profile.iccid(), package)?)
        .set("metadata", metadata_der(profile)?)
        .set("required_capability", integer(profile.requirements.uicc_capability.bits()))
        .such("iccid", profile.iccid().octets())
        .update("profile", ", revision = revision + 1");
    mended.execute(connection).await?;
    Ok(())
}

/// The state of an unreadable profile, if by that or by other data an eUICC may have the profile.
pub(super) fn may_be_on_euicc(row: &AnyRow) -> Option<String> {
    let state = row.try_get::<String, _>("state");
    let was_given = row.try_get::<i64, _>("downloads").map_or(true, |downloads| downloads != 0);
    let may_be = match state.as_ref().map(|state| state.parse::<ProfileState>()) {
        Ok(Ok(state)) => state.may_be_on_euicc(),
        Ok(Err(_)) | Err(_) => was_given,
    };
    may_be.then(|| state.unwrap_or_else(|_| "unreadable".to_owned()))
}

/// An LPA in the middle of a download finds no session, and what an eUICC reports late belongs to no later order.
async fn without_sessions(
    connection: &mut AnyConnection,
    iccid: &Iccid,
    told: Option<&Progress>,
) -> Result<(), StoreError> {
    query("DELETE FROM session WHERE iccid = $1").bind(iccid.octets()).execute(&mut *connection).await?;
    match told {
        Some(progress) => super::progress::add(connection, progress).await,
        None => Ok(()),
    }
}

pub(super) async fn update(
    connection: &mut AnyConnection,
    key: &MasterKey,
    profile: &Profile,
) -> Result<(), StoreError> {
    let update = columns(key, profile)?
        .set("notified_by", profile.last_notification.map(|(eid, _)| eid.octets().to_vec()))
        .set("notification_number", profile.last_notification.map(|(_, number)| integer(number)))
        .such("iccid", profile.iccid().octets())
        .such("revision", profile.revision)
        .update("profile", ", revision = revision + 1");
    let updated = update.execute(connection).await;
    match unique(updated, "a profile with this matchingId")?.rows_affected() {
        0 => Err(StoreError::Conflict("the profile")),
        _ => Ok(()),
    }
}

/// What may change of a profile, with its order, and is there from the beginning.
fn columns<'p>(key: &MasterKey, profile: &'p Profile) -> Result<Columns<'p>, StoreError> {
    let Order { operator, matching_id, eid, names_eid, confirmation_code, expires_at, reusable, downloads, euicc_otpk } =
        &profile.order;
    Ok(Columns::new()
        .set("profile_type", &profile.profile_type)
        .set("metadata", metadata_der(profile)?)
        .set("operator", &profile.operator)
        .set("state", profile.state.name())
        .set("ordered_by", operator)
        .set("matching_id", matching_id)
        .set("eid", eid.map(|eid| eid.octets().to_vec()))
        .set("names_eid", i64::from(*names_eid))
        .set("confirmation_code_hash", sealed_code(key, profile)?)
        .set("confirmation_code_failures", confirmation_code.as_ref().map_or(0, |code| i64::from(code.failures)))
        .set("expires_at", expires_at.map(integer))
        .set("reusable", i64::from(*reusable))
        .set("downloads", i64::from(*downloads))
        .set("euicc_otpk", euicc_otpk.as_ref().map(|otpk| otpk.octets().to_vec()))
        .set("changed_at", integer(profile.changed_at)))
}

fn sealed_code(key: &MasterKey, profile: &Profile) -> Result<Option<Vec<u8>>, StoreError> {
    let code = profile.order.confirmation_code.as_ref();
    code.map(|code| sealed::seal_code(key, profile.iccid(), code.hash.as_bytes())).transpose()
}

fn metadata_der(profile: &Profile) -> Result<Vec<u8>, StoreError> {
    rsp::encode(&profile.metadata).map_err(|_| StoreError::Damaged("profile"))
}
