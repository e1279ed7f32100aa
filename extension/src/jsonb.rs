//! Documents between rows and serde, without text in between.

// What is unsafe is the borders of PostgreSQL's memory, each with what makes it sound above it.
#![allow(unsafe_code)]

use crate::error::{Result, internal};
use nexus_jsonb::Error;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::UnboxDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::prelude::*;
use pgrx::varlena::{set_varsize_4b, vardata_any, varsize_any_exhdr};
use serde::{Deserialize, Serialize};

/// A `jsonb` as PostgreSQL stores it, without the length before it.
pub struct Jsonb(Vec<u8>);

impl Jsonb {
    /// Writes a document. What PostgreSQL's own reading of its text would refuse is refused, with the same SQLSTATE.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        nexus_jsonb::to_vec(value).map(Self).map_err(refused)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, without blanks.
    pub fn text(&self) -> Result<String> {
        nexus_jsonb::to_text(&self.0).map_err(internal)
    }

    /// Reads it.
    pub fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T> {
        nexus_jsonb::from_slice(&self.0).map_err(internal)
    }
}

fn refused(error: Error) -> ErrorReport {
    let sqlstate = match error {
        Error::Nul => PgSqlErrorCode::ERRCODE_UNTRANSLATABLE_CHARACTER,
        Error::NumberOutOfRange => PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        Error::TooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Error::TooDeep => PgSqlErrorCode::ERRCODE_STATEMENT_TOO_COMPLEX,
        _ => return internal(error),
    };
    ErrorReport::new(sqlstate, error.to_string(), "nexus")
}

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<Datum> {
        let size = self.0.len() + pg_sys::VARHDRSZ;
        // No document is larger than `nexus_jsonb::MOST_BYTES`, a quarter of what the header counts.
        let header = i32::try_from(size).ok()?;
        // SAFETY: palloc returns `size` bytes, aligned as every varlena is, or raises an error. The header takes the
        // first four of them and the document the others.
        unsafe {
            let varlena = pg_sys::palloc(size).cast::<pg_sys::varlena>();
            set_varsize_4b(varlena, header);
            let data = varlena.cast::<u8>().add(pg_sys::VARHDRSZ);
            data.copy_from_nonoverlapping(self.0.as_ptr(), self.0.len());
            Some(Datum::from(varlena))
        }
    }

    fn type_oid() -> Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: its datums are those of jsonb.
unsafe impl SqlTranslatable for Jsonb {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Jsonb);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> =
        Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}

// SAFETY: it is read as `FromDatum` reads it.
unsafe impl UnboxDatum for Jsonb {
    type As<'src>
        = Self
    where
        Self: 'src;

    unsafe fn unbox<'src>(datum: pgrx::datum::Datum<'src>) -> Self
    where
        Self: 'src,
    {
        // SAFETY: the caller vouches for a datum of jsonb that is not null.
        unsafe { Self::from_datum(datum.sans_lifetime(), false) }.expect("a datum that is not null")
    }
}

// SAFETY: an argument is a datum of jsonb, and is read as one.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb {
    unsafe fn unbox_arg_unchecked(argument: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the caller has made sure that there is one.
        unsafe { argument.unbox_arg_using_from_datum() }.expect("an argument that is not null")
    }
}

impl FromDatum for Jsonb {
    unsafe fn from_polymorphic_datum(datum: Datum, is_null: bool, _: Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        let varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: the caller vouches for a datum of jsonb. Detoasted it is one piece of memory, as long as its header
        // says; it is copied, and given back where it was made for this.
        unsafe {
            let whole = pg_sys::pg_detoast_datum_packed(varlena);
            let data = std::slice::from_raw_parts(vardata_any(whole).cast::<u8>(), varsize_any_exhdr(whole));
            let document = Self(data.to_vec());
            if whole != varlena {
                pg_sys::pfree(whole.cast());
            }
            Some(document)
        }
    }
}
