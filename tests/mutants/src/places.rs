//! Where in a file's syntax a mutant stands, and what has to be wrapped to switch it.

use std::collections::HashMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Pat};

use crate::list::Genre;

/// What a mutant asks of the source, in bytes of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This expression is evaluated in one of several forms.
    Expression(Range<usize>),
    /// Here begins a body, and a mutant leaves it at once.
    Body(usize),
    /// Here ends the pattern of an arm without a guard.
    Pattern(usize),
    /// Evaluated while compiling, where nothing can be switched, or of a type that only one body has.
    Fixed,
    /// The change is no Rust: an `||` between the conditions of a `let` chain, a match without one of its arms.
    Nonsense,
}

/// The places of one file.
#[derive(Debug, Default)]
pub struct Places {
    by_start: HashMap<(Genre, usize), Place>,
    bodies: Vec<(Range<usize>, Place)>,
    /// Whether what is visited is evaluated while compiling.
    fixed: bool,
    /// What the operator next below is a part of, without parentheses between them.
    chain: Chain,
}

#[derive(Debug, Clone, Default)]
enum Chain {
    #[default]
    None,
    /// The outermost of the operators. A change of one of them can change how all of them group, so the whole is written
    /// out anew.
    Of(Range<usize>),
    /// Conditions of which one is a `let`: they cannot be wrapped together.
    Let,
}

impl Places {
    /// Of a file's text.
    pub fn of(text: &str) -> syn::Result<Self> {
        let mut places = Self::default();
        places.visit_file(&syn::parse_file(text)?);
        Ok(places)
    }

    /// The place of a mutant that replaces `span`.
    pub fn find(&self, genre: Genre, span: &Range<usize>) -> Option<Place> {
        if genre != Genre::FnValue {
            return self.by_start.get(&(genre, span.start)).cloned();
        }
        let around = self.bodies.iter().filter(|(body, _)| body.start <= span.start && span.end <= body.end);
        around.min_by_key(|(body, _)| body.len()).map(|(_, place)| place.clone())
    }

    fn note(&mut self, genre: Genre, at: impl Spanned, place: Place) {
        let place = if self.fixed { Place::Fixed } else { place };
        self.by_start.insert((genre, bytes(at).start), place);
    }

    /// Visits what is evaluated while compiling, or what again is not.
    fn with(&mut self, fixed: bool, visit: impl FnOnce(&mut Self)) {
        let before = (self.fixed, std::mem::take(&mut self.chain));
        self.fixed = fixed;
        visit(self);
        (self.fixed, self.chain) = before;
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let fixed = signature.constness.is_some();
        let returns_impl = match &signature.output {
            syn::ReturnType::Default => false,
            syn::ReturnType::Type(_, of) => has_impl(of),
        };
        let body = bytes(block);
        let place = if fixed || returns_impl { Place::Fixed } else { Place::Body(body.start + 1) };
        self.bodies.push((body, place));
        self.with(fixed, |places| places.visit_block(block));
    }

    fn operand(&mut self, operand: &Expr, chain: Chain) {
        self.chain = if matches!(operand, Expr::Binary(_)) { chain } else { Chain::None };
        self.visit_expr(operand);
        self.chain = Chain::None;
    }
}

impl<'ast> Visit<'ast> for Places {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let chain = std::mem::take(&mut self.chain);
        if joins_let(node) {
            self.note(Genre::BinaryOperator, node.op, Place::Nonsense);
            self.operand(&node.left, Chain::Let);
            self.operand(&node.right, Chain::Let);
            return;
        }
        let among_lets = matches!(chain, Chain::Let);
        let whole = if let Chain::Of(whole) = chain { whole } else { bytes(node) };
        if among_lets && matches!(node.op, BinOp::And(_)) {
            self.note(Genre::BinaryOperator, node.op, Place::Nonsense);
            self.operand(&node.left, Chain::Let);
            self.operand(&node.right, Chain::Let);
        } else {
            self.note(Genre::BinaryOperator, node.op, Place::Expression(whole.clone()));
            self.operand(&node.left, Chain::Of(whole.clone()));
            self.operand(&node.right, Chain::Of(whole));
        }
    }

    fn visit_expr(&mut self, node: &'ast Expr) {
        if !matches!(node, Expr::Binary(_)) {
            self.chain = Chain::None;
        }
        visit::visit_expr(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        self.note(Genre::UnaryOperator, node.op, Place::Expression(bytes(node)));
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        for field in &node.fields {
            self.note(Genre::StructField, field, Place::Expression(bytes(node)));
        }
        visit::visit_expr_struct(self, node);
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        // `_ if …` is one for cargo-mutants, but not for the compiler.
        let rest = |arm: &syn::Arm| arm.guard.is_none() && matches!(arm.pat, Pat::Wild(_));
        let complete = node.arms.iter().any(rest);
        for arm in &node.arms {
            let end = bytes(&arm.pat).end;
            let place = if complete { Place::Pattern(end) } else { Place::Nonsense };
            self.note(Genre::MatchArm, arm, place);
        }
        visit::visit_expr_match(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        if let Some((_, guard)) = &node.guard {
            self.note(Genre::MatchArmGuard, guard, Place::Expression(bytes(guard)));
        }
        visit::visit_arm(self, node);
    }

    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.function(&node.sig, &node.block);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.function(&node.sig, &node.block);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(block) = &node.default {
            self.function(&node.sig, block);
        }
    }

    fn visit_expr_closure(&mut self, node: &'ast syn::ExprClosure) {
        // Runs later, even where it is made while compiling.
        self.with(false, |places| visit::visit_expr_closure(places, node));
    }

    fn visit_item_const(&mut self, node: &'ast syn::ItemConst) {
        self.with(true, |places| visit::visit_item_const(places, node));
    }

    fn visit_item_static(&mut self, node: &'ast syn::ItemStatic) {
        self.with(true, |places| visit::visit_item_static(places, node));
    }

    fn visit_impl_item_const(&mut self, node: &'ast syn::ImplItemConst) {
        self.with(true, |places| visit::visit_impl_item_const(places, node));
    }

    fn visit_trait_item_const(&mut self, node: &'ast syn::TraitItemConst) {
        self.with(true, |places| visit::visit_trait_item_const(places, node));
    }

    fn visit_expr_const(&mut self, node: &'ast syn::ExprConst) {
        self.with(true, |places| visit::visit_expr_const(places, node));
    }

    fn visit_type_array(&mut self, node: &'ast syn::TypeArray) {
        self.with(true, |places| visit::visit_type_array(places, node));
    }

    fn visit_expr_repeat(&mut self, node: &'ast syn::ExprRepeat) {
        self.visit_expr(&node.expr);
        self.with(true, |places| places.visit_expr(&node.len));
    }

    fn visit_generic_argument(&mut self, node: &'ast syn::GenericArgument) {
        self.with(true, |places| visit::visit_generic_argument(places, node));
    }

    fn visit_variant(&mut self, node: &'ast syn::Variant) {
        self.with(true, |places| visit::visit_variant(places, node));
    }

    fn visit_pat(&mut self, node: &'ast Pat) {
        self.with(true, |places| visit::visit_pat(places, node));
    }
}

fn bytes(node: impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

/// Whether one of the conditions that this `&&` joins is a `let`.
fn joins_let(node: &syn::ExprBinary) -> bool {
    matches!(node.op, BinOp::And(_))
        && [&node.left, &node.right].into_iter().any(|operand| match &**operand {
            Expr::Let(_) => true,
            Expr::Binary(inner) => joins_let(inner),
            _ => false,
        })
}

fn has_impl(of: &syn::Type) -> bool {
    struct Search(bool);
    impl Visit<'_> for Search {
        fn visit_type_impl_trait(&mut self, _: &syn::TypeImplTrait) {
            self.0 = true;
        }
    }
    let mut search = Search(false);
    search.visit_type(of);
    search.0
}
