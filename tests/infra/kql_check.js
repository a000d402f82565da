// Binds queries against tables: what Log Analytics' own editor underlines is written out, as JSON.
// Input: {"library": folder, "tables": {name: {column: type}}, "queries": {name: text}}; output: {name: [message]}.
const { library, tables, queries } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
require(`${library}/bridge.js`);
require(`${library}/Kusto.Language.Bridge.js`);
const { GlobalState, KustoCode, Symbols } = Kusto.Language;

const symbols = Object.entries(tables).map(([name, columns]) => {
  const schema = Object.entries(columns).map(([column, type]) => `${column}: ${type}`);
  return Symbols.TableSymbol.From(`(${schema.join(', ')})`).WithName(name);
});
const state = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1('logs', symbols));

const found = {};
for (const [name, text] of Object.entries(queries)) {
  const diagnostics = KustoCode.ParseAndAnalyze(text, state).GetDiagnostics();
  found[name] = [];
  for (let i = 0; i < diagnostics.Count; i++) found[name].push(diagnostics.getItem(i).Message);
}
console.log(JSON.stringify(found));
