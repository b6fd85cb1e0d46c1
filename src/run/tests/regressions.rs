//! What random cases found, kept small.
