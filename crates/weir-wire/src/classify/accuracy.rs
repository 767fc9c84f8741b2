//! How often the rules are right on errors of the world, counted.
